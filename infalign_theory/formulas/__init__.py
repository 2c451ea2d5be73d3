"""The formula language: read by a whitelist, run by five arithmetics, never executed."""
