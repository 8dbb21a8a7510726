"""Numbers, plain and with how sure one is of them, through the whole round."""

from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination

TINY = (
    "runtime=inline",
    "threads=1",
    "data.samples=120",
    "method.client.fit.epochs=2",
    "method.distiller.fit.epochs=2",
)
FEDERATED = (
    "data=diabetes",
    "data.samples=150",
    "runtime=inline",
    "threads=1",
    "clients=3",
    "rounds=2",
    "partition=iid",
    "model=mlp",
    "model.hidden=[8]",
)
AVER = ("method=aver", "method.fusion=mean_logits", "partition.wrong=shuffled")


@pytest.mark.parametrize(
    "line",
    [
        ("method=bounded_regression",),
        ("method=attentive_imitation",),
        ("method=outlier_rejection", "data.outliers=0.1"),
        ("method=gaussian_experts",),
        ("method=gaussian_experts", "method.fusion=mixture", "method.distiller.label_weight=0.5"),
        ("method=kd", "data=diabetes", "method.fusion=mean_logits"),
        (*AVER, "data=diabetes"),
        (*AVER, "data=diamonds"),
    ],
    ids=" ".join,
)
def test_a_central_student_learns_numbers_from_teachers_in_one_line(
    line: tuple[str, ...], tmp_path: Path
) -> None:
    result = fedkd.run(*line, *TINY, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert result.final["student/test/rmse"] > 0
    assert ("student/test/nll" in result.final) == ("gaussian" in line[0])


@pytest.mark.parametrize("method", ["fedavg", "fedmd", "feddf"])
def test_federations_say_how_sure_they_are(method: str, tmp_path: Path) -> None:
    result = fedkd.run(f"method={method}", *FEDERATED, "data.predicts=gaussian", output=tmp_path / "run")
    final = result.final
    assert result.summary["failures"] == 0
    scopes = ("student", "clients_mean") if method != "fedmd" else ("clients_mean", "ensemble_uniform")
    for scope in scopes:
        assert 0.0 <= final[f"{scope}/test/coverage_90"] <= 1.0
        assert 0.0 <= final[f"{scope}/test/miscalibration"] <= 0.5
        assert final[f"{scope}/test/rmse"] > 0


def test_clients_that_are_trained_at_once_learn_what_each_learns_alone(tmp_path: Path) -> None:
    final = {
        engine: fedkd.run(
            "method=feddf", *FEDERATED, "data.predicts=gaussian", f"engine={engine}", output=tmp_path / engine
        ).final
        for engine in ("vectorised", "sequential")
    }
    assert final["vectorised"] == pytest.approx(final["sequential"], rel=1e-3, abs=1e-4)


def test_a_teacher_of_shuffled_numbers_says_that_it_is_unsure_and_loses_its_weight(tmp_path: Path) -> None:
    """Its share of the precision falls below that of a teacher of true numbers, and the student is the better for it."""
    common = (
        "method=gaussian_experts",
        "runtime=inline",
        "threads=1",
        "partition.noise=[0,1,1,1]",
        "method.client.fit.epochs=10",
        "method.distiller.fit.epochs=10",
    )
    said = {
        fusion: fedkd.run(*common, f"method.fusion={fusion}", output=tmp_path / fusion).final
        for fusion in ("precision", "mixture")
    }
    assert said["precision"]["student/test/rmse"] < said["mixture"]["student/test/rmse"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("method=feddf", "data=diabetes", "method.fusion=precision"), "take data.predicts=gaussian"),
        (("method=feddf", "data=digits", "method.fusion=mixture"), "is about normal distributions"),
        (("method=gaussian_experts", "data=diamonds"), "take data.predicts=gaussian"),
        (("method=dsfl", "data=diabetes", "data.predicts=gaussian"), "is a gaussian_regression"),
        (("method=bounded_regression", "data=digits"), "about numbers"),
        (("method=aver", "data=diabetes", "method.fusion=mean_logits"), "take partition.wrong=shuffled"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_for_numbers_is_refused_with_a_way_out(line: tuple[str, ...], words: str) -> None:
    with pytest.raises(IllegalCombination, match=words):
        Experiment.from_config(compose(list(line)))
