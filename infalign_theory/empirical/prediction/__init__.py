"""What theory predicts for a training run, from scores of the base alone."""
