"""Training and measuring CLIP."""
