"""Unbiased statistics of scored samples, with intervals over prompts."""
