"""From pictures and labels to what the networks are trained on."""
