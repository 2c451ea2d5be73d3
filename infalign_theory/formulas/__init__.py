"""The formula language: read by a whitelist, run by four arithmetics, never executed."""
