"""Preference: a score that orders images, learnt from pairs."""
