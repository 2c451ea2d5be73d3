"""A validation as one self-contained HTML page with its pictures."""
