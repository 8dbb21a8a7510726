"""Several tasks in one network: methods run on them, specialists make one student, and what cannot work is refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import estimate_of
from fedkd.foundation.errors import FedkdError

TINY = (
    "data=diamonds_grades",
    "data.samples=120",
    "data.test_samples=60",
    "data.validation=0.002",
    "clients=3",
    "runtime=inline",
    "threads=1",
    "method.client.fit.epochs=1",
)
MLP = ("model=mlp", "model.hidden=[8]")
PUBLIC = ("proxy.size=20", "partition=iid", "rounds=2")
MIXED = ("model=mixed", "model.shares={mlp:1,logistic:1}")
QUICK = "method.distiller.fit.epochs=1"
RUNS: Mapping[str, tuple[str, ...]] = {
    "fedavg": (*MLP, "partition=iid", "rounds=2"),
    "local": (*MLP, "partition=iid", "rounds=1"),
    "fedmd": (*MIXED, *PUBLIC, "method.weighting=label_counts"),
    "feddf": (*MIXED, *PUBLIC, QUICK, "method.weighting=label_counts", "method.fusion=median"),
    "fml": (*MLP, "partition=iid", "rounds=2", "student=mlp", "student.hidden=[4]"),
    "dml": ("model=peers", "partition=iid", "rounds=1", "model.of=[logistic,logistic]"),
    "aekd": ("partition=shared", "proxy.size=20", "rounds=1", QUICK),
    "enhancement_tasks": (QUICK, "model.hidden=[8]", "student.hidden=[8]"),
}


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize("method", RUNS)
def test_a_method_runs_on_several_tasks_and_reports_each(method: str, tmp_path: Path) -> None:
    result = fedkd.run(*TINY, f"method={method}", *RUNS[method], output=tmp_path / "run")
    assert result.summary["failures"] == 0
    scope = "clients_mean" if method == "local" else "student"
    each = [result.final[f"{scope}/test/accuracy_{head}"] for head in ("cut", "color", "clarity")]
    assert result.final[f"{scope}/test/accuracy"] == pytest.approx(sum(each) / 3)  # type: ignore[arg-type]


def test_both_engines_train_the_same_specialists(tmp_path: Path) -> None:
    own = ("method=enhancement_tasks", QUICK, "model.hidden=[8]")
    finals = [
        fedkd.run(*TINY, *own, f"engine={engine}", output=tmp_path / engine).final
        for engine in ("vectorised", "sequential")
    ]
    for key in ("student/test/loss", "ensemble_uniform/test/loss", "clients_worst/test/loss"):
        assert finals[0][key] == pytest.approx(finals[1][key], rel=1e-4)


def test_a_student_of_masked_specialists_learns_every_task_and_without_masks_it_is_less_sure(
    tmp_path: Path,
) -> None:
    own = (*TINY[:1], "data.samples=500", "data.test_samples=400", "data.validation=0.005", *TINY[4:7])
    short = ("method=enhancement_tasks", "method.client.fit.epochs=8", "method.distiller.fit.epochs=8")
    masked, plain = (
        fedkd.run(*own, *short, f"method.weighting={name}", output=tmp_path / name).final
        for name in ("label_counts", "uniform")
    )
    assert masked["student/test/accuracy_cut"] > masked["clients_mean/test/accuracy_cut"] + 0.1  # type: ignore[operator]
    assert masked["student/test/loss"] < plain["student/test/loss"] - 0.05  # type: ignore[operator]


def test_clients_that_know_one_task_each_of_data_of_their_own_make_one_network_that_knows_all(
    tmp_path: Path,
) -> None:
    own = (*TINY[:1], "data.samples=500", "data.test_samples=400", "data.validation=0.005", *TINY[4:7], *MLP)
    dealt = ("partition=iid", "partition.heads=[[0],[1],[2]]", "proxy=none", "rounds=6", "evaluate_every=6")
    together, alone = (
        fedkd.run(*own, *dealt, "method.client.fit.epochs=3", f"method={name}", output=tmp_path / name).final
        for name in ("fedavg", "local")
    )
    gain = together["student/test/accuracy"] - alone["clients_mean/test/accuracy"]  # type: ignore[operator]
    assert gain > 0.06


def test_the_bytes_of_heads_are_known_beforehand(tmp_path: Path) -> None:
    options = (*TINY, *MLP, *PUBLIC, "method=fedmd", "method.weighting=label_counts", "method.distiller=null")
    estimate = estimate_of(Experiment.from_config(compose(list(options))))
    summary = fedkd.run(*options, output=tmp_path / "run").summary
    assert summary["payload_up"] == estimate.payload_up == 2 * 3 * (20 * 3 * 8 * 4 + 3 * 4)
    assert summary["payload_down"] == estimate.payload_down
    assert summary["bytes_once"] == estimate.once


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("method=fd",), "about samples of one class, data=diamonds_grades is a multitask_classification"),
        (
            ("method=fedproto",),
            "about samples of one class, data=diamonds_grades is a multitask_classification",
        ),
        (("method=kdcl",), "about samples of one class, data=diamonds_grades is a multitask_classification"),
        (("method=enhancement", "partition.classes=[]"), "about samples of one class, data=diamonds_grades"),
        (("method=feddf", "method.weighting=variance"), "scores of all classes.*weighting=entropy"),
        (("method=feddf", "partition=dirichlet"), "neither classes nor numbers"),
        (("method=feddf", "model=gru"), "model=gru reads symbols"),
        (("method=enhancement_tasks", "partition.heads=[[0],[4]]"), r"partition\.heads.*0 cut, 1 color"),
        (("method=feddf", "data=digits", "partition.heads=[[0]]"), "take data=diamonds_grades"),
        (
            ("method=fedavg", "partition=quantity", "partition.heads=[[7]]"),
            r"partition\.heads.*0 cut, 1 color",
        ),
    ],
)
def test_what_cannot_work_on_several_tasks_is_refused_in_one_line(
    options: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(FedkdError, match=reason):
        Experiment.from_config(
            compose(["data=diamonds_grades", "runtime=inline", "partition=shared", *options])
        )
