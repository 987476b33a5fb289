"""The starter bundle: one small network trained from scratch, with the heads that a worker needs.

`mekiki bundle starter --data DATA --out BUNDLE` renders, trains, measures and writes it all.
"""
