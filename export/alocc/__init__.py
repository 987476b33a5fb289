"""ALOCC: Adversarially Learned One-Class Classifier for Novelty Detection (Sabokrou et al., CVPR 2018).

A reinforcer R learns to restore noisy images of one target class, a discriminator D to tell the
class's images from restored ones. What is not of the class is restored badly, so D(R(X)) and
the restoration error part the two. Two spaces:

pixel    as published: R and D see pixels. Strided, so that it serves on CPU.
feature  R restores mid-level feature maps of a frozen trunk; the score is how badly.

Both train on the target class alone. Every score is oriented: higher means more of the target class.
"""
