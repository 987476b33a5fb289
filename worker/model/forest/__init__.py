"""The tag forest: all tags of a batch at once, over codes that they share (docs/forest.md)."""
