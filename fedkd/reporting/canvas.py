"""The look of all pictures: colours that colour-blind readers can tell apart, plain axes, no global state.

Figures are made without pyplot, so drawing neither needs a screen nor touches the pictures of the caller.
"""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, FAINT = "#222222", "#d9d9d9"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE, GREY = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#777777",
)
CYCLE = (RED, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)
"""Colours of lines that have no meaning of their own, after Okabe and Ito's palette."""

DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Line:
    """How a scope is drawn: also told apart by dash and marker, for print without colour."""

    color: str
    dash: str
    marker: str
    width: float = 1.6


SCOPE_LINES = {
    "student": Line(RED, "-", "o", 2.4),
    "ensemble_weighted": Line(BLUE, "-", "s"),
    "ensemble_uniform": Line(SKY, "--", "^"),
    "ensemble_oracle": Line(GREEN, "-.", "D"),
    "clients_mean": Line(GREY, "-", "v"),
}


def nth_line(position: int) -> Line:
    """Return the look of the nth line of a picture whose lines are runs or methods."""
    return Line(
        CYCLE[position % len(CYCLE)],
        DASHES[position // len(CYCLE) % len(DASHES)],
        MARKERS[position % len(MARKERS)],
        2.0,
    )


def blank(width: float = 7.2, height: float = 4.2) -> tuple[Figure, Axes]:
    """Return a new figure, in inches, with one set of axes."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return figure, axes


def whole_numbers(axes: Axes) -> None:
    """Put ticks of the horizontal axis on whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def legend_beside(figure: Figure, axes: Axes) -> None:
    """Put the legend to the right of the axes, where it hides no line."""
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
