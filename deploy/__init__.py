"""What puts Facet elsewhere: the Hugging Face Hub and Spaces. The app never imports it."""
