"""Copies of one photo: how many are found, and splits that keep them together."""
