"""Renderers of the images that no open data set holds: shop notices, QR posters, printed products."""
