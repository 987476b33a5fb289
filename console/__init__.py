"""The console: a page to see what is decided, to overrule it, and to try another policy before it counts."""
