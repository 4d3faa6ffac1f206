"""The synthetic data set on disk, format ncm-1."""
