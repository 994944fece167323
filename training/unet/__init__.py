"""Training the U-Net and its student."""
