"""Split networks: runs of FedGKT on images, its bytes, and what cannot be split."""

from collections.abc import Callable
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import estimate_of
from fedkd.foundation.errors import FedkdError

Uninterrupted = Callable[..., Path]
SPLIT = ("method=fedgkt", "model=lenet", "model.channels=[2,3]", "method.knowledge.layer=body.2")
LENET = (*SPLIT, "student=resnet", "student.channels=[4]", "rounds=2")


def without_model(small: tuple[str, ...]) -> list[str]:
    return [option for option in small if not option.startswith("model")]


def test_the_server_reports_no_student_of_its_own(uninterrupted: Uninterrupted) -> None:
    assert not fedkd.load_runs(uninterrupted("method=fedgkt")).query("scope == 'student'").shape[0]


def test_features_logits_and_labels_go_up_and_logits_come_down(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    options = [*without_model(small), *LENET, "clients_per_round=null", "method.client.fit.epochs=0"]
    result = fedkd.run(*options, output=tmp_path / "run")
    data = fedkd.load_ledger(result.folder)
    rows = data[(data["phase"] == "train") & (data["direction"] == "up") & (data["round"] == 1)]
    down = data[(data["phase"] == "train") & (data["direction"] == "down") & (data["round"] == 2)]
    a_sample = 4 * (2 * 4 * 4 + 10) + 8  # two channels of 4 x 4 pixels, ten logits, a label
    samples = dict(zip(rows["client"], rows["payload"] / a_sample, strict=True))
    assert all(size == int(size) and size > 0 for size in samples.values())
    assert dict(zip(down["client"], down["payload"] / 40, strict=True)) == samples
    foretold = estimate_of(Experiment.from_config(compose(options)))
    assert foretold.payload_up == pytest.approx(result.summary["payload_up"], rel=0.02)
    assert foretold.averaged
    assert not foretold.exact
    assert foretold.student_steps == 2 * 5 * -(-int(sum(samples.values())) // 32)
    assert foretold.student is not None


def test_clients_of_other_architectures_take_part_if_their_layer_has_the_same_shape(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    mixed = ("model=mixed", "model.shares={mlp:1,deep:1}", "model.models={mlp:{name:mlp,hidden:[64]},deep:{name:mlp,hidden:[8,64]}}")  # fmt: skip
    result = fedkd.run(*without_model(small), *mixed, "method=fedgkt", "rounds=2", output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert 0.0 <= result.final["clients_mean/test/accuracy"] <= 1.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("method.knowledge.layer=body.9",), r"method\.knowledge\.layer: got 'body\.9'"),
        (("student=lenet",), r"student=lenet takes images|model=lenet takes images"),
        (("method.distiller.patience=2",), r"method\.distiller\.patience=2"),
        (("method.client=isolated",), r"method\.client=isolated.*the clients' own samples"),
        (("method.codec=top_k",), r"top_k is for probabilities"),
        (("method.distiller=null",), r"method\.distiller=null"),
        (("data=diabetes",), "is about classes"),
        (
            ("model=mixed", "model.shares={mlp:1,deep:1}", "model.models={deep:{name:mlp,hidden:[8]}}"),
            r"one shape for all; in these networks it has",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(FedkdError, match=said):
        Experiment.from_config(compose(["method=fedgkt", *options]))


def test_a_client_that_waits_for_word_about_its_samples_needs_a_server_that_says_it() -> None:
    with pytest.raises(FedkdError, match=r"method\.client=fedgkt.*no samples of the clients"):
        Experiment.from_config(compose(["method=dsfl", "method.client=fedgkt"]))
