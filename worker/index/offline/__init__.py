"""An index directory without its role: looked at, verified, moved, compacted."""
