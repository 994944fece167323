"""Measuring what the networks can do; nothing here trains what it measures."""
