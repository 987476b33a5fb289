"""Copies among the files of a folder: near by vector first, then by what both pictures show."""
