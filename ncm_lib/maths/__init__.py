"""Pure functions on tensors and arrays: torch, numpy and scipy only."""
