"""The tables of docs/fusion.md say what the code says; REWRITE=1 writes them."""

import copy
import os
import re
from pathlib import Path

import pytest

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.aggregation.fusions._robust import RobustFusion
from fedkd.aggregation.fusions.base import MeanFusion
from fedkd.aggregation.weightings.base import LoneWeighting
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination

PAGE = Path(__file__).parents[2] / "docs" / "fusion.md"
METHODS = ("fedmd", "dsfl", "feddf")
Rows = list[tuple[str, ...]]


def weightings() -> Rows:
    rows = []
    for name in WEIGHTINGS.names():
        part = WEIGHTINGS.create(name, key="weighting")
        sends = ", ".join(f"`{key}` ({form})" for key, form in part.sends.items())
        needs = ", ".join(sorted(part.needs - {"clients"}))
        alone = "yes" if isinstance(part, LoneWeighting) else "no"
        rows.append((f"`{name}`", needs or "-", sends or "-", alone, ", ".join(sorted(part.spots)) or "-"))
    return rows


def allowed() -> Rows:
    configs = {method: compose([f"method={method}"]) for method in METHODS}
    rows = []
    for name in WEIGHTINGS.names():
        reasons = {}
        for method, config in configs.items():
            changed = copy.deepcopy(config)
            changed["method"]["weighting"] = name
            try:
                Experiment.from_config(changed)
            except IllegalCombination as error:
                reasons[method] = re.sub(r"method\.weighting=\S+ ", "", str(error)).split(";")[0]
        marks = ("no" if method in reasons else "yes" for method in METHODS)
        rows.append((f"`{name}`", *marks, "; ".join(sorted(set(reasons.values()))) or "-"))
    return rows


def fusions() -> Rows:
    rows = []
    for name in FUSIONS.names():
        part = FUSIONS.create(name, key="fusion")
        numbers = (
            "`of=outputs`"
            if isinstance(part, RobustFusion)
            else "no"
            if part.needs_classes or part.needs_embeddings
            else "with variances"
            if part.needs_gaussians
            else "yes"
        )
        alone = "yes" if isinstance(part, MeanFusion) else "no"
        half = "less than half" if part.breakdown > 0.49 else f"{part.breakdown:.1f}"
        rows.append((f"`{name}`", part.gives, numbers, alone, half if part.breakdown else "none"))
    return rows


@pytest.mark.parametrize("table", [weightings, allowed, fusions], ids=lambda table: table.__name__)
def test_a_table_is_that_of_the_code(table: object) -> None:
    assert callable(table)
    expected = "\n".join(f"| {' | '.join(row)} |" for row in table())
    text = PAGE.read_text()
    found = re.search(
        rf"<!-- {table.__name__} -->\n\|[^\n]*\n\|[-|]*\n(.*?)<!-- end -->", text, flags=re.DOTALL
    )
    assert found is not None
    if os.environ.get("REWRITE"):
        PAGE.write_text(text[: found.start(1)] + expected + "\n" + text[found.end(1) :])
    else:
        assert found.group(1).strip() == expected
