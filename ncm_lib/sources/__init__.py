"""Real images as a listing by content hash, and pools of their inversions."""
