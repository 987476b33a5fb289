"""The trunk and its embedding: networks, augmentation, training, copies."""
