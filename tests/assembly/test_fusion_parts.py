"""Every weighting and every fusion is one line of a recipe, and a run with it works; what cannot work is refused at once."""

import json
from pathlib import Path

import pytest

import fedkd
from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination

TINY = (
    "data.samples=120",
    "data.test_samples=40",
    "proxy.size=24",
    "model=logistic",
    "method.client.fit.epochs=1",
    "method.distiller.fit.epochs=1",
    "runtime=inline",
    "clients=3",
    "rounds=2",
    "evaluate_every=2",
)
PARTS = [f"method.weighting={name}" for name in WEIGHTINGS.names()] + [
    f"method.fusion={name}"
    for name in FUSIONS.names()
    if not (FUSIONS.find(name, key="").needs_embeddings or FUSIONS.find(name, key="").needs_gaussians)
]
METHODS = {
    "method.weighting=accuracy": ("feddf",),
    "method.weighting=drop_worst": ("feddf",),
    "method.weighting=class_counts": ("dsfl", "feddf"),
    "method.weighting=domain_classifier": ("dsfl", "feddf"),
    "method.weighting=gradient": ("dsfl", "feddf"),
    "method.fusion=voted_triplets": ("dsfl", "feddf"),
}
"""What is not tried with dsfl alone: where only answers cross there are no scores; what needs more comes in two ways."""

BESIDE = {"method.fusion=union": ("method.weighting={name:class_counts,by:teachers}",)}
"""What a part cannot do without."""


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs_by_its_name(part: str, tmp_path: Path) -> None:
    for method in METHODS.get(part, ("dsfl",)):
        result = fedkd.run(*TINY, f"method={method}", part, *BESIDE.get(part, ()), output=tmp_path / method)
        assert 0.0 <= result.final["student/test/accuracy"] <= 1.0
        assert result.summary["failures"] == 0
        slot, name = part.removeprefix("method.").split("=")
        assert json.loads((tmp_path / method / "summary.json").read_text())["rounds"] == 2
        assert (
            Experiment.from_config(result_config(tmp_path / method)).resolved["method"][slot]["name"] == name
        )


def result_config(folder: Path) -> dict[str, object]:
    from fedkd.foundation.run_folder import RunFolder

    return RunFolder.open(folder).config()


@pytest.mark.parametrize(
    "changes",
    [
        ("method.weighting.name=accuracy", "method.weighting.on=proxy"),
        ("method.weighting.name=accuracy", "method.weighting.on=holdout"),
        ("method.weighting.name=class_counts", "method.weighting.by=teachers", "proxy.labelled=false"),
        ("method.weighting=domain_classifier", "method.strategy.samples_per_round=9"),
        ("method.weighting=similarity", "engine=vectorised"),
        ("method.fusion.name=median", "method.fusion.of=outputs"),
    ],
    ids=" ".join,
)
def test_parts_run_with_other_options_too(changes: tuple[str, ...], tmp_path: Path) -> None:
    result = fedkd.run(*TINY, "method=dsfl", *changes, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert result.final["ensemble_weighted/test/accuracy"] is not None


def test_a_robust_centre_of_outputs_fuses_numbers(tmp_path: Path) -> None:
    numbers = ("data=diabetes", "proxy.size=24", "method.fusion.name=median", "method.fusion.of=outputs")
    tiny = [line for line in TINY if not line.startswith(("data", "proxy"))]
    result = fedkd.run(*tiny, "method=feddf", *numbers, output=tmp_path / "run")
    assert result.final["student/test/r2"] is not None


def test_a_noisy_vote_records_what_it_has_cost_in_every_round(tmp_path: Path) -> None:
    from fedkd.aggregation.privacy import gnmax_epsilon

    result = fedkd.run(*TINY, "method=dsfl", "method.fusion=noisy_vote", output=tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    spent = {row["round"]: row["value"] for row in rows if row["metric"] == "epsilon"}
    assert spent == pytest.approx({r: gnmax_epsilon(sigma=1.0, queries=24 * r, delta=1e-5) for r in (1, 2)})
    assert result.summary["failures"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("method=dsfl", "method.weighting=accuracy"), "method.weighting.on=proxy or holdout"),
        (("method=feddf", "method.weighting=confidence", "proxy.labelled=false"), "proxy.labelled=true"),
        (("method=dsfl", "method.weighting=class_counts", "proxy=noise"), "labels of the proxy set"),
        (("method=dsfl", "method.weighting=gradient", "method.distiller=null"), "method.distiller"),
        (("method=dsfl", "method.fusion=noisy_vote", "method.weighting=size"), "method.weighting=uniform"),
        (
            ("method=feddf", "method.weighting=entropy", "data=diabetes"),
            "method.weighting=entropy is about classes",
        ),
        (("method=feddf", "method.fusion=median", "data=diabetes"), "method.fusion=median is about classes"),
        (("method=fedavg", "method.weighting=entropy"), "has no effect"),
        (
            ("method=fedbe", "method.fusion=union"),
            "take another method.fusion, or method=feddf with method.weighting={name:class_counts,by:teachers}",
        ),
        (("method=fedbe", "method.weighting=confidence"), "take another weighting, or feddf"),
        (
            (
                "method=feddf",
                "data=grammar",
                "partition=iid",
                "proxy.labelled=true",
                "method.weighting=confidence",
            ),
            "take method.weighting=uniform",
        ),
        (
            ("method=feddf", "data=grammar", "partition=iid", "method.fusion=union"),
            "take method.fusion=mean_logits",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_work_is_refused_with_a_way_out(changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(IllegalCombination, match=words.replace(".", r"\.")):
        Experiment.from_config(compose(list(changes)))
