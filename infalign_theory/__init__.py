"""Exact win rates, optimal reward transforms and honest validation for inference-time alignment.

See the README for a tour. Every public name is listed in ``__init__.pyi``, the one list that both
type checkers and the lazy loader read, and loads when first used.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
