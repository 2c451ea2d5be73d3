"""Real scores: reading them, and what theory predicts from them."""
