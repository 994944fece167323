"""Starts the app and a browser, for benchmarks, tests and pictures of the page."""
