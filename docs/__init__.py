"""Documentation, some of it generated."""
