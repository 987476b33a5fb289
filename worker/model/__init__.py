"""What runs a bundle: decode, infer, tag, embed."""
