"""Sphinx settings of the manual."""

import infalign_theory

project = "infalign-theory"
author = "The infalign-theory developers"
copyright = "2026, the infalign-theory developers"
release = infalign_theory.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are run, and held to what they print, by the tests
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says types in words
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_use_ivar = True
exclude_patterns = ["_build"]
math_number_all = False
numfig = True
html_theme = "furo"
html_title = "infalign-theory"
html_static_path: list[str] = []
# pages are complete offline but for formulas: MathJax is looked for beside them first
suppress_warnings = ["mystnb.unknown_mime_type"]
