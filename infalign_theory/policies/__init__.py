"""The base, aligned policies on it, and their win rates."""
