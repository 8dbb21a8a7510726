from pathlib import Path

import pytest

from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.cli.main import main
from fedkd.engine.calibration import remember, verdict
from fedkd.models.base import identity
from fedkd.models.mlp import MLP

OPTIONS = ["method=fedavg", "data.samples=300", "clients=6", "model.hidden=[8]", "partition=iid"]


def test_what_is_measured_here_is_kept_and_engine_auto_goes_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    asked = (identity(MLP(hidden=(8,))), (1, 8, 8), 32, "cpu")
    assert verdict(*asked) is None
    assert main(["calibrate", *OPTIONS]) == 0
    said = capsys.readouterr().out
    assert "mlp" in said
    assert "calibration.json" in said.replace("\n", "")
    measured = verdict(*asked)
    assert measured is not None
    assert Experiment.from_config(compose(OPTIONS)).resolved["engine"]["name"] == (
        "vectorised" if measured else "sequential"
    )
    remember(*asked, vectorised=not measured)
    assert Experiment.from_config(compose(OPTIONS)).resolved["engine"]["name"] == (
        "sequential" if measured else "vectorised"
    )


def test_a_bad_option_is_refused_before_anything_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "model=lennet"]) == 2
    assert "did you mean 'lenet'" in capsys.readouterr().err
