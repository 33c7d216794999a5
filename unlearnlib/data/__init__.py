"""Records, the split that a seed draws, and examples as tokens."""
