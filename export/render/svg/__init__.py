"""Notices and QR posters drawn as SVG by resvg: held for testing, nothing here is trained on."""
