"""The running program: consumes image uploads, judges them, keeps the index."""
