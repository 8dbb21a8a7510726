"""Methods whose server or clients remember something: stopped and resumed, mixed, on numbers, and against their papers' claims."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import fedkd
from fedkd.foundation.run_folder import RunFolder

Uninterrupted = Callable[..., Path]
Outcome = Callable[..., dict[str, object]]
Final = Callable[..., Mapping[str, float]]

REMEMBERING = {
    "fedgkd": (),
    "fedcad": (),
    "fedssd": (),
    "fedproto": (),
    "fml": ("student=mlp", "student.hidden=[8]"),
    "fedkd": ("student=mlp", "student.hidden=[8]", "method.codec.energy=0.7"),
    "kt_pfl": ("method.strategy.samples_per_round=20",),
    "similarity_graph": ("method.strategy.neighbours=1",),
    "fedgen": ("method.strategy.steps=5",),
    "fedbe": ("method.distiller.fit.epochs=1",),
    "fedftg": ("method.strategy.batches=2",),
    "fedaux": ("method.distiller.fit.epochs=1",),
    "cronus": (),
    "fedgkt": (),
    "cfd": ("method.client.digest.epochs=1", "method.distiller.fit.epochs=1"),
    "mhat": ("method.client.digest.epochs=1", "method.distiller.fit.epochs=1"),
    "fedgems": ("method.client.digest.epochs=1", "method.distiller.fit.epochs=1"),
}


class Crash(BaseException):
    """What nothing catches: the process is gone at this moment, as far as the files are concerned."""


@pytest.mark.parametrize("method", REMEMBERING)
def test_a_run_that_was_stopped_after_its_second_round_ends_as_one_that_was_not(
    method: str, small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    options, folder, save = (
        (f"method={method}", *REMEMBERING[method]),
        tmp_path / "run",
        RunFolder.save_checkpoint,
    )

    def crashing(self: RunFolder, current: int, *arguments: object) -> None:
        save(self, current, *arguments)  # type: ignore[arg-type]
        if current == 2:
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", crashing)
        with pytest.raises(Crash):
            fedkd.run(*small, *options, output=folder)
    fedkd.resume(folder)
    assert outcome(folder) == outcome(uninterrupted(*options))


MIXED = {
    "kt_pfl": ("model.shares={mlp:1,logistic:1}", "model.models={mlp:{name:mlp,hidden:[8]}}"),
    "fml": (
        "model.shares={mlp:1,logistic:1}",
        "model.models={mlp:{name:mlp,hidden:[8]}}",
        "student=logistic",
    ),
    "fedkd": (
        "model.shares={mlp:1,logistic:1}",
        "model.models={mlp:{name:mlp,hidden:[8]}}",
        "student=logistic",
    ),
    "dense": (
        "model.shares={mlp:1,logistic:1}",
        "model.models={mlp:{name:mlp,hidden:[8]}}",
        "method.strategy.batches=2",
        "student=mlp",
    ),
    "fedproto": ("model.shares={mlp:1,deep:1}", "model.models={deep:{name:mlp,hidden:[8,64]}}"),
    "fedaux": ("model.shares={mlp:1,logistic:1}", "model.models={mlp:{name:mlp,hidden:[8]}}"),
    "cronus": ("model.shares={mlp:1,logistic:1}", "model.models={mlp:{name:mlp,hidden:[8]}}"),
}


@pytest.mark.parametrize("method", MIXED)
def test_clients_of_different_architectures_take_part(
    method: str, small: tuple[str, ...], tmp_path: Path
) -> None:
    given = [option for option in small if not option.startswith("model")]
    result = fedkd.run(
        *given, "model=mixed", *MIXED[method], f"method={method}", "rounds=2", output=tmp_path / method
    )
    assert result.summary["failures"] == 0
    assert 0.0 <= result.final["clients_mean/test/accuracy"] <= 1.0
    assert ("student/test/accuracy" in result.final) == (
        method in {"fml", "fedkd", "dense", "fedaux", "cronus"}
    )


@pytest.mark.parametrize("method", ["fedgkd", "fml"])
def test_numbers_are_learned_as_classes_are(method: str, small: tuple[str, ...], tmp_path: Path) -> None:
    given = [option for option in small if not option.startswith("data")]
    diabetes = ("data=diabetes", "data.samples=200", "rounds=2")
    result = fedkd.run(*given, *diabetes, f"method={method}", output=tmp_path / method)
    assert result.final["student/test/rmse"] > 0
    assert result.summary["failures"] == 0


def test_private_scores_cost_one_epsilon_for_all_rounds(small: tuple[str, ...], tmp_path: Path) -> None:
    fedkd.run(*small, "method=fedaux", "method.weighting.epsilon=10", output=tmp_path / "run")
    rows = fedkd.load_runs(tmp_path / "run")
    spent = rows[rows["metric"] == "epsilon"]
    assert spent["round"].tolist() == [1, 2, 3]
    assert spent["value"].tolist() == [10.0] * 3
