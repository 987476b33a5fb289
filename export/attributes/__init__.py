"""Attributes: vectors that a search adds and takes off, and a space in which that works."""
