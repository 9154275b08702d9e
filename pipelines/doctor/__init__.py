"""The doctor: what is wrong with the pairs of a dataset, each and as a whole."""
