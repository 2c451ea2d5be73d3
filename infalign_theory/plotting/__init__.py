"""Pictures in one style: curves on axes, and files of the same bytes every time."""

from infalign_theory.plotting.curves import (
    draw_curve,
    plot_comparison,
    plot_frontier,
    plot_frontiers,
    plot_regret,
    plot_regrets,
    plot_transforms,
    unit_scale,
)
from infalign_theory.plotting.style import procedure_title, style_of, styles_of

__all__ = [
    "draw_curve",
    "plot_comparison",
    "plot_frontier",
    "plot_frontiers",
    "plot_regret",
    "plot_regrets",
    "plot_transforms",
    "procedure_title",
    "style_of",
    "styles_of",
    "unit_scale",
]
