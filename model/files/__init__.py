"""Weights and pictures as files: read, checked, and written whole or not at all."""
