import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "simulate_flower_app.py"


def test_a_script_runs_an_app_of_flower_on_ray_and_krum_withstands_what_fedavg_does_not(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT)]
    told = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert told.returncode == 0, told.stderr
    accuracy = {line.split()[0]: float(line.split()[1]) for line in told.stdout.splitlines()}
    assert accuracy.keys() == {"FedAvg", "Krum"}
    assert accuracy["Krum"] > accuracy["FedAvg"] > 0.1
    assert accuracy["Krum"] > 0.8
