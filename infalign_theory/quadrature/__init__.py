"""Points of (0, 1) that keep both ends exact, and the adaptive grid of every integral."""
