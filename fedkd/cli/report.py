"""What is written when a run, or a sweep, is over."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from fedkd.assembly.experiment import Experiment
from fedkd.assembly.run import Result
from fedkd.cli.estimate import cost_words, network_costs
from fedkd.foundation.run_folder import RunFolder
from fedkd.reporting.measures import primary_metric, report_split, size_words
from fedkd.reporting.table import final_table


@dataclass(frozen=True)
class Row:
    """One run of a sweep: what was asked for, and what came of it or why nothing did."""

    overrides: list[str]
    result: Result | None
    reason: str = ""


def report(result: Result, console: Console) -> None:
    """Write the evaluation, what it cost, and where everything lies."""
    summary = result.summary
    console.print(final_table(result.final))
    pictures = sorted(path.name for path in (result.folder / "pictures").glob("*.png"))
    cost = f"{size_words(summary['bytes_up'])} up, {size_words(summary['bytes_down'])} down"
    if summary.get("bytes_once"):
        cost += f", {size_words(summary['bytes_once'])} of proxy set once"
    networks = cost_words(*network_costs(Experiment.from_config(RunFolder.open(result.folder).config())))
    lines = [
        *(f"networks  {name}: {words}" for name, words in networks.items()),
        f"bytes     {cost}",
        f"seconds   {summary['seconds']:.1f} for {summary['rounds']} rounds",
        f"folder    {result.folder}",
        f"pictures  {result.folder / 'pictures'}: {', '.join(pictures)}",
    ]
    if summary.get("failures"):
        lines.insert(
            0, f"left out  {summary['failures']} answers of clients; {result.folder / 'log.txt'} names them"
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def sweep_table(rows: Sequence[Row]) -> Table:
    """Lay out one row for each run of a sweep, with what differs between them."""
    table = Table("run", "of", "score", "up", "down", "seconds", "folder", title=f"{len(rows)} runs")
    shared = set.intersection(*(set(row.overrides) for row in rows)) if len(rows) > 1 else set()
    for number, row in enumerate(rows):
        own = [
            override
            for override in row.overrides
            if override not in shared and not override.startswith("output=")
        ]
        if row.result is None:
            table.add_row(str(number), " ".join(own), "failed", "", "", "", row.reason, style="red")
            continue
        summary = row.result.summary
        table.add_row(
            str(number),
            " ".join(own),
            _score(row.result),
            size_words(summary["bytes_up"]),
            size_words(summary["bytes_down"]),
            f"{summary['seconds']:.1f}",
            str(row.result.folder),
        )
    return table


def _score(result: Result) -> str:
    """Return the score of the student, or of the clients where there is no student."""
    keys = [key.split("/") for key in result.final]
    scope = "student" if any(key[0] == "student" for key in keys) else "clients_mean"
    mine = [key for key in keys if key[0] == scope]
    split = report_split({key[1] for key in mine})
    metric = primary_metric({key[2] for key in mine if key[1] == split})
    value = result.final[f"{scope}/{split}/{metric}"]
    return "-" if value is None else f"{scope} {metric} {value:.4f}"
