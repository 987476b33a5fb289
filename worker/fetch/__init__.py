"""Bytes from anywhere, safely: https, a folder, inline."""
