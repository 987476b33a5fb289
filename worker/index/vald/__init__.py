"""The index past one machine: vectors in a Vald cluster, and beside it what that does not keep."""
