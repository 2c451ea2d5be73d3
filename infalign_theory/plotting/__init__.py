"""Pictures in one style: curves on axes, and files of the same bytes every time."""

from infalign_theory.plotting.curves import (
    plot_comparison,
    plot_frontier,
    plot_regret,
    plot_transforms,
)
from infalign_theory.plotting.style import procedure_title, style_of

__all__ = [
    "plot_comparison",
    "plot_frontier",
    "plot_regret",
    "plot_transforms",
    "procedure_title",
    "style_of",
]
