"""Sharing the page: what a link shows of it elsewhere, and a link's QR code."""
