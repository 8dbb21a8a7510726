"""Ranking of films: every way to federate it, teachers of rankings, and what makes no sense for it."""

from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.run_folder import RunFolder

TINY = (
    "data=movielens",
    "data.samples=3000",
    "data.history=5",
    "data.test_samples=200",
    "proxy=heldout",
    "proxy.size=200",
    "runtime=inline",
    "clients=3",
    "rounds=1",
)
SMALL = ("model=item_bag", "model.width=8", "model.hidden=[8]")
USERS = ("partition=natural", "partition.merge=true", "proxy.by_owner=true")
TRAINED = (
    "method.client.fit.epochs=2",
    "method.client.fit.batch_size=64",
    "method.client.fit.optimizer={name: adam, lr: 0.01}",
)
BRIEF = "method.distiller.fit.epochs=1"
WAYS = {
    "fedavg": ("method=fedavg", *SMALL, *USERS),
    "fedavg, factors": ("method=fedavg", "model=factorisation", *USERS),
    "fedmd": ("method=fedmd", "method.fusion=borda", BRIEF, *SMALL, *USERS),
    "feddf": ("method=feddf", "method.fusion=reciprocal_rank", BRIEF, *SMALL, *USERS),
    "aver": ("method=aver", "method.fusion=borda", BRIEF, *SMALL, "partition.noise=0", "student=item_bag"),
    "local": ("method=local", *SMALL, *USERS),
    "pooled": ("method=pooled", *SMALL, *USERS),
    "rd": ("method=rd", BRIEF, "clients=1", "model.width=8"),
    "cd": ("method=cd", BRIEF, "clients=1", "model.width=8"),
    "de_rrd": ("method=de_rrd", BRIEF, "clients=1", "model.width=8"),
}


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize("way", WAYS)
def test_films_are_ranked_in_every_way(way: str, tmp_path: Path) -> None:
    result = fedkd.run(*TINY, *WAYS[way], *TRAINED, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    for scope in ("student", "clients_mean", "ensemble_uniform"):
        ndcg, hr = (result.final.get(f"{scope}/test/{name}") for name in ("ndcg_10", "hr_10"))
        if scope != "student" or way != "local":
            assert ndcg is not None
            assert hr is not None
            assert 0.0 <= ndcg <= hr <= 1.0
    # of a random order over what is not known it is about 0.005
    trained = result.final["ensemble_uniform/test/mrr"]
    assert trained is not None
    assert trained > 0.008


@pytest.mark.parametrize("engine", ["sequential", "vectorised"])
def test_a_run_gives_the_same_bytes_twice(engine: str, tmp_path: Path) -> None:
    outcomes = []
    for folder in ("first", "second"):
        fedkd.run(*TINY, *WAYS["fedavg"], *TRAINED, f"engine={engine}", output=tmp_path / folder)
        checkpoint = RunFolder.open(tmp_path / folder).load_checkpoint()
        assert checkpoint is not None
        outcomes.append((checkpoint.blobs, (tmp_path / folder / "metrics.jsonl").read_bytes()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("method=fd",), "is about samples of one class, data=movielens is a ranking"),
        (("method=fedproto",), "is about samples of one class, data=movielens is a ranking"),
        (("method=fedavg", "model=mlp"), "model=mlp"),
        (("method=fedavg", "data=digits"), "model=item_bag ranks items by what a user took before"),
        (("method=fedavg", "partition=dirichlet"), "tells samples apart by their targets"),
        (
            ("method=feddf", "method.distiller.terms=[bounded_regression]"),
            "bounded_regression is about numbers",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(
    overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(IllegalCombination, match=said):
        Experiment.from_config(compose(["data=movielens", "partition=iid", "model=item_bag", *overrides]))
