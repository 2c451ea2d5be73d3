"""What scores of real samples say: prediction before a run, validation after it."""
