from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor, nn

from fedkd.assembly import calibrating
from fedkd.assembly.calibrating import Measured
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.settling import questions
from fedkd.cli.main import main
from fedkd.engine.calibration import remember, verdict
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.models.logistic import Logistic

OPTIONS = ["method=fedavg", "data.samples=300", "clients=6", "model.hidden=[8]", "partition=iid"]
SMALL = [*OPTIONS[:3], "partition=iid"]


@dataclass(frozen=True, kw_only=True)
class Looking(Logistic):
    """A network that looks at its numbers, which is not possible for many at once."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        plain = super().network(shape, num_outputs)

        class Looks(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.plain = plain

            def forward(self, x: Tensor) -> object:
                return self.plain(x if float(x.sum()) > 0 else -x)

        return Looks()


@pytest.fixture(autouse=True)
def _no_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))


def chosen(*overrides: str) -> str:
    return str(Experiment.from_config(compose([*OPTIONS, *overrides])).resolved["engine"]["name"])


def test_what_is_measured_here_is_kept_and_engine_auto_goes_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calibrating, "REPEATS", 1)  # one repeat alone always has a winner
    given = "engine.precision=bfloat16"
    [asked] = questions(Experiment.from_config(compose([*OPTIONS, given])))
    at_once = Vectorised(precision="bfloat16")
    assert verdict(asked, at_once) is None
    assert main(["calibrate", *OPTIONS, given]) == 0
    said = capsys.readouterr().out.replace("\n", "")
    measured = verdict(asked, at_once)
    assert measured is not None
    name, other = ("vectorised", "sequential") if measured else ("sequential", "vectorised")
    assert f"mlp: {name}, kept in" in said
    assert "calibration.json" in said
    assert chosen(given) == name
    remember(asked, at_once, vectorised=not measured)
    assert chosen(given) == other
    remember(asked, at_once, vectorised=False)
    for elsewhere in ([], [given, "method=fedgen"], [given, "clients_per_round=3"]):
        assert chosen(*elsewhere) == "vectorised"  # by the rule


@pytest.mark.parametrize(
    ("seconds", "faster"), [((0.9, 0.5, 0.2), True), ((1.1, 2.0, 1.3), False), ((0.9, 1.2, 0.5), None)]
)
def test_a_winner_wins_every_repeat(seconds: Sequence[float], faster: bool | None) -> None:
    assert Measured("mlp", (1.0, 1.0, 1.0), tuple(seconds)).verdict is faster


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["data=grammar", "model=gru", "partition=iid"], "gru: not measured: networks with BatchNorm or recurrent layers"),
        ([*SMALL, "runtime=flower"], "mlp: not measured: its strategy or the runtime"),
        ([*SMALL, "clients_per_round=1"], "mlp: not measured: no two clients of a round"),
        ([*SMALL, f"model={__name__}:Looking"], "not measured: its clients are trained one after the other, since at once: "),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_at_once_is_not_timed(
    overrides: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *overrides]) == 0
    assert reason in capsys.readouterr().out.replace("\n", "")
    assert not (tmp_path / "calibration.json").exists()


def test_a_bad_option_is_refused_before_anything_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "model=lennet"]) == 2
    assert "did you mean 'lenet'" in capsys.readouterr().err
