"""The starter bundle: one small network trained from scratch, with the heads that a worker needs.

`python -m export.starter --data DATA --out BUNDLE` renders, trains, measures and writes it all.
"""
