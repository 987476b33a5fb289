"""Notices and QR posters set by Typst; the filter is trained on them."""
