"""All statistics of a run, taken share by share of its prompts, here or on a cluster."""
