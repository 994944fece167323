"""What makes the weights: data preparation, training and evaluation. The app never imports it."""
