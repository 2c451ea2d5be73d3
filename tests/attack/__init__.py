"""Random attacks on the promises; see each module's --help."""
