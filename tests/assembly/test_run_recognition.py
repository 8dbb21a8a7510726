"""Recognition of people who were never seen: every way to federate it, and what makes no sense for it."""

import json
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.run_folder import RunFolder

TINY = (
    "data=orl_faces",
    "data.shrink=4",
    "data.embedding=8",
    "model=mlp",
    "model.hidden=[16]",
    "clients=3",
    "rounds=2",
    "evaluate_every=2",
    "method.client.fit.epochs=1",
    "runtime=inline",
)
GROUPS = ("partition=classes", "partition.classes_per_client=6")
RELATIONS = ("method.fusion=mean_relations", "method.distiller.fit.epochs=1")
WAYS = {
    "fedavg": ("method=fedavg", *GROUPS),
    "fedprox": ("method=fedprox", *GROUPS),
    "fedmd": ("method=fedmd", *RELATIONS, "method.client.divergence=task", *GROUPS),
    "feddf": ("method=feddf", *RELATIONS, *GROUPS),
    "feddf, embeddings": ("method=feddf", "method.distiller.divergence=cosine", *GROUPS),
    "aver": ("method=aver", *RELATIONS, "partition.noise=0", "clients=2", "rounds=1"),
    "local": ("method=local", *GROUPS),
    "pooled": ("method=pooled", *GROUPS),
    "pseudo-labels": ("method=feddf", *RELATIONS, "method.distiller.hard=true", *GROUPS),
}


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize("way", WAYS)
def test_people_who_were_never_seen_are_recognised_in_every_way(way: str, tmp_path: Path) -> None:
    result = fedkd.run(*TINY, *WAYS[way], output=tmp_path / "run")
    assert result.summary["failures"] == 0
    scope = "clients_mean" if way == "local" else "student"
    auc, eer = (result.final[f"{scope}/test/{name}"] for name in ("auc", "eer"))
    assert auc is not None
    assert eer is not None
    assert 0.5 < auc <= 1.0
    assert 0.0 <= eer < 0.5
    assert result.final["ensemble_oracle/test/rank_1"] is not None


def test_clients_hold_groups_of_people_and_none_of_those_of_the_test(tmp_path: Path) -> None:
    fedkd.run(*TINY, "method=local", *GROUPS, output=tmp_path / "run")
    partition = json.loads((tmp_path / "run" / "partition.json").read_text())
    assert len(partition["class_names"]) == 40
    assert [sum(count > 0 for count in client) for client in partition["counts"]] == [6, 6, 6]


@pytest.mark.parametrize("engine", ["sequential", "vectorised"])
def test_a_run_on_series_of_known_length_gives_the_same_bytes_twice(engine: str, tmp_path: Path) -> None:
    options = ("data=japanese_vowels", "data.embedding=8", "model=conv1d", "model.channels=[8]", "clients=2")
    options += ("method=fedavg", "partition=classes", "rounds=1", "method.client.fit.epochs=1")
    weights = []
    for folder in ("first", "second"):
        result = fedkd.run(*options, "runtime=inline", f"engine={engine}", output=tmp_path / folder)
        checkpoint = RunFolder.open(tmp_path / folder).load_checkpoint()
        assert checkpoint is not None
        weights.append((checkpoint.blobs, (tmp_path / folder / "metrics.jsonl").read_bytes()))
        assert result.final["student/validation/auc"] is not None
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("method=dsfl",),
            "method.knowledge=probabilities is about classes, data=orl_faces is a recognition",
        ),
        (("method=fedproto",), "method.client=fedproto is about classes"),
        (("method=fedmd", "method.weighting=entropy"), "method.weighting=entropy is about classes"),
        (("method=feddf", "method.fusion=mean_probabilities"), "is about classes"),
        (("method=feddf", "method.distiller.terms=[kd]"), r"method.distiller.terms.0=kd is about classes"),
        (
            ("method=feddf", "method.distiller.terms=[bounded_regression]"),
            "bounded_regression is about numbers",
        ),
        (
            ("data=digits", "method=feddf", "method.fusion=mean_relations"),
            "method.fusion=mean_relations is about embeddings, which networks give in recognition, and data=digits is a classification",
        ),
    ],
)
def test_parts_that_make_no_sense_are_refused_before_anything_is_loaded(
    overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(IllegalCombination, match=said):
        Experiment.from_config(compose(["data=orl_faces", *overrides]))


def test_terms_on_relations_work_on_embeddings() -> None:
    Experiment.from_config(
        compose(["data=orl_faces", "method=feddf", *RELATIONS, "method.distiller.terms=[sp,pkt,divergence]"])
    )
