"""The formula language behind expressions: reading a text, and the arithmetics that run it."""
