"""Sphinx settings of the manual."""

import re
from typing import TYPE_CHECKING

import infalign_theory

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

project = "infalign-theory"
author = "The infalign-theory developers"
copyright = "2026, the infalign-theory developers"
release = infalign_theory.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are run, and held to what they print, by the tests
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says types in words
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_use_param = False  # keeps "kl, beta : float" one entry
napoleon_use_rtype = False
napoleon_preprocess_types = True
napoleon_type_aliases = {
    name: f"~infalign_theory.{path}"
    for name, path in {
        "Transform": "transforms.Transform",
        "Procedure": "procedures.Procedure",
        "Divergence": "divergences.Divergence",
        "Policy": "policies.core.Policy",
        "ContinuousPolicy": "policies.continuous.ContinuousPolicy",
        "DiscretePolicy": "policies.discrete.DiscretePolicy",
        "Continuous": "Continuous",
        "Discrete": "Discrete",
    }.items()
}
napoleon_custom_sections = [("Attributes", "params_style")]
exclude_patterns = ["_build"]
math_number_all = False
numfig = True
html_theme = "furo"
html_title = "infalign-theory"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
suppress_warnings = ["mystnb.unknown_mime_type"]


def link_pages(
    app: "Sphinx", what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """A docstring names a page of the manual by its file; in the manual that is a link."""
    pattern = re.compile(r"`{0,2}docs/([\w/-]+)\.md`{0,2}")
    lines[:] = [pattern.sub(r":doc:`/\1`", line) for line in lines]


def trim_code(app: "Sphinx", doctree: "nodes.document") -> None:
    """An example's last line is followed by an empty one, which is for doctest alone."""
    from docutils import nodes

    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip("\n")
        block.rawsource = text
        block.children = [nodes.Text(text)]


def setup(app: "Sphinx") -> None:
    """Connect the two."""
    app.connect("autodoc-process-docstring", link_pages)
    app.connect("doctree-read", trim_code)
