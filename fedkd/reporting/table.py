"""The table at the end of a run.

>>> Console().print(final_table({"student/test/accuracy": 0.84, "clients_mean/own/accuracy": 0.91}))
"""

from collections.abc import Mapping

from rich.table import Table

from fedkd.reporting.measures import BASELINES, SCOPES, metric_words, primary_metric, scope_words

_SPLITS = {"validation": "validation", "test": "test", "own": "clients' own data"}


def final_table(final: Mapping[str, float | None]) -> Table:
    """Lay out the final scores: a row for each scope, a column for each split, in the metric that counts.

    Args:
        final: `"<scope>/<split>/<metric>"` -> score; None where nothing could be measured.
    """
    scores = {tuple(key.split("/")): value for key, value in final.items()}
    metric = primary_metric({key[-1] for key in scores})
    scopes = {key[0] for key in scores if key[-1] == metric}
    splits = [split for split in _SPLITS if any(key[1:] == (split, metric) for key in scores)]
    table = Table(title=f"{metric_words(metric)} after the last round")
    table.add_column("scope")
    for split in splits:
        table.add_column(_SPLITS[split], justify="right")
    ordered = [*(scope for scope in SCOPES if scope in scopes), *sorted(scopes - set(SCOPES))]
    for position, scope in enumerate(ordered):
        following = ordered[position + 1] if position + 1 < len(ordered) else None
        cells = [_score(scores.get((scope, split, metric))) for split in splits]
        table.add_row(
            scope_words(scope),
            *cells,
            style="bold" if scope == "student" else None,
            end_section=scope not in BASELINES and following in BASELINES,
        )
    return table


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
