"""Training and measuring SRResNet."""
