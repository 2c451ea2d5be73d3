"""Compiled kernels: arrays and scalars in, arrays out; no classes, no callables."""
