"""How good classifiers and synthetic images are."""
