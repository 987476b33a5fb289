"""The vectors of one embedding space again in another, for a next index."""
