"""Notices as web pages in headless Chromium; the filter is trained on them."""
