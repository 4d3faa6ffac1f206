"""Training on real and synthetic images."""
