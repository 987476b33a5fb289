"""The index over NGT: generations, tails, builds in a child process."""
