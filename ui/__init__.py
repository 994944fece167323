"""What app.py needs beside layout and wiring."""
