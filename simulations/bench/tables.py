"""What a workload reports: a table, its numbers, and bars to draw. Ratios are taken within a repeat, then their median and range.

>>> spread([2.0, 2.5, 2.1])
'2.10 [2.00, 2.50]'
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from simulations.bench.contest import Outcome

YARDSTICK = "raw loop, 2 processes"


@dataclass(frozen=True)
class Report:
    """One table.

    Args:
        title: what was done.
        columns: heads of the columns.
        rows: texts of the cells.
        notes: lines below the table.
        numbers: everything that was measured, for `bench.json`.
        bars: ratios to draw, name -> one for each repeat; empty where a picture says nothing.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    numbers: Any = None
    bars: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the table as a section of Markdown."""
        lines = [f"## {self.title}", ""]
        if self.rows:
            lines += ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
            lines += ["| " + " | ".join(row) + " |" for row in self.rows]
            lines.append("")
        lines += [line for note in self.notes for line in (note, "")]
        return "\n".join(lines)


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Return the median of values and their range; one value stands alone."""
    numbers = sorted(values)
    if not numbers:
        return ""
    median = float(np.median(numbers))
    if len(numbers) == 1:
        return f"{median:.{digits}f}"
    return f"{median:.{digits}f} [{numbers[0]:.{digits}f}, {numbers[-1]:.{digits}f}]"


def ratios(slower: Sequence[float], faster: Sequence[float]) -> list[float]:
    """Return how many times as long the first takes, pair by pair within each repeat."""
    return [one / other for one, other in zip(slower, faster, strict=False)]


def compared(title: str, outcomes: Sequence[Outcome], cohort: int, notes: Sequence[str] = ()) -> Report:
    """Return the table of a contest with so many clients a round: everyone against the yardstick, and fedkd's fastest against everyone."""
    timed = [outcome for outcome in outcomes if outcome.rounds and not outcome.failure]
    own = [outcome for outcome in timed if outcome.contestant.peer == "ours"]
    own = [outcome for outcome in own if outcome.contestant.name.startswith("fedkd")]
    best = min(own, key=lambda outcome: float(np.median(outcome.later)), default=None)
    yard = next((outcome for outcome in timed if outcome.contestant.name == YARDSTICK), None)
    rows, bars = [], {}
    for outcome in outcomes:
        name = outcome.contestant.name
        if outcome not in timed:
            rows.append([name, outcome.failure[:200].replace("|", "/"), "", "", "", "", ""])
            continue
        against = ratios(yard.later, outcome.later) if yard else []
        ahead = ratios(outcome.later, best.later) if best else []
        bars[name] = against
        rows.append(
            [
                f"**{name}**" if outcome is best else name,
                f"{outcome.difference:.1e}",
                spread(outcome.first, 3),
                spread(outcome.later, 3),
                spread((cohort / seconds for seconds in outcome.later), 0),
                spread(against),
                "" if outcome is best else spread(ahead),
            ]
        )
    columns = [
        "contestant",
        "weights differ by",
        "first round, s",
        "later rounds, s",
        "clients/s",
        f"times as fast as {YARDSTICK}",
        f"{best.contestant.name if best else 'fedkd'} is so many times as fast",
    ]
    numbers = [{**asdict(outcome), "contestant": outcome.contestant.name} for outcome in outcomes]
    return Report(title, columns, rows, notes, numbers, bars)
