"""Notices, QR codes and changed products drawn with Pillow; the filter is trained on them."""
