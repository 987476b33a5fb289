"""`mekiki review` and `mekiki why`: a person's word on an image, and its history from the log."""
