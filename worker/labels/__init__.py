"""`mekiki labels export`: people's words as a labelled set to train and to calibrate on."""
