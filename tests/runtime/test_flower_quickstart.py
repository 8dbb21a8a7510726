import re
from pathlib import Path

import pytest

from fedkd.runtime.flower_processes import CONNECTION, flower_home, flwr, superlink

pytestmark = pytest.mark.xdist_group("flower-quickstart")
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


def test_dsfl_teaches_the_server_in_a_flower_app_that_is_not_ours() -> None:
    federation = "num-supernodes=5 client-resources-num-cpus=1 init-args-num-cpus=2"
    options = ["--federation-config", federation, "--run-config", "num-server-rounds=3"]
    with flower_home() as home, superlink(home, simulation=True):
        log = flwr(home, "run", str(QUICKSTART), CONNECTION, "--stream", *options)
    accuracies = [float(found) for found in re.findall(r"round \d: accuracy ([\d.]+)", log)]
    assert len(accuracies) == 4, log
    assert accuracies[0] < 0.3
    assert accuracies[-1] > 0.85, accuracies  # no client has more than six of the ten classes
    assert "was left out" not in log
