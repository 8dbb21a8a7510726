"""Runs from the command line: what is shown, where it goes, and what happens when one is stopped."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fedkd.foundation.run_folder import RunFolder

Command = Callable[..., Any]

QUICK = (
    "runtime=inline",
    "model=logistic",
    "clients=2",
    "rounds=1",
    "partition=iid",
    "data.samples=200",
    "proxy.size=40",
)


def test_a_run_ends_with_its_scores_its_cost_and_its_folder(command: Command) -> None:
    said = command("run", "method=feddf", *QUICK, "output=mine")
    assert said.code == 0, said.err
    assert not said.err
    for words in (
        "round 1/1",
        "student",
        "ensemble, oracle",
        "clients, worst",
        "networks  FLOPs a sample: ",
        "bytes ",
        "seconds ",
        "folder    mine",
    ):
        assert words in said.out
    pictures = re.search(r"pictures  mine/pictures: (.*)", said.out)
    assert pictures
    assert all((Path("mine/pictures") / name).exists() for name in pictures[1].split(", "))
    assert Path("mine/summary.json").exists()


def test_a_run_without_an_output_goes_below_runs(command: Command) -> None:
    said = command("run", "method=fedavg", *QUICK)
    assert said.code == 0, said.err
    (folder,) = Path("runs/fedavg").iterdir()
    assert f"folder    {folder}" in said.out


def test_a_recipe_of_ones_own_is_run_by_its_name(command: Command) -> None:
    Path("own/method").mkdir(parents=True)
    recipe = "name: mine\nstrategy: averaging\nclient: supervised\nknowledge: weights\n"
    Path("own/method/mine.yaml").write_text(recipe)
    said = command("run", "method=mine", *QUICK, "output=out", "--config-dir", "own")
    assert said.code == 0, said.err
    assert yaml.safe_load(Path("out/config.yaml").read_text())["method"]["name"] == "mine"
    assert " mine " in command("list", "methods", "--config-dir", "own").out.replace("\n", " ")


def test_a_sweep_runs_each_combination_and_names_the_ones_that_fail(command: Command) -> None:
    said = command("run", "-m", "method=fedavg,fd", *QUICK, "partition.holdout=0.1,1", "output=sweep")
    assert said.code == 1
    assert sorted(path.name for path in Path("sweep").iterdir()) == ["0", "2"]
    lines = said.err.splitlines()
    assert [line.split(" failed: ")[0] for line in lines[:-1]] == ["fedkd: run 1", "fedkd: run 3"]
    assert "partition.holdout: got 1" in lines[0]
    assert lines[-1] == "fedkd: 2 of 4 runs failed: 1, 3"
    table = said.out[said.out.index("4 runs") :]
    assert "method=fedavg partition.holdout=0.1" in table
    assert "student accuracy" in table
    assert "clients_mean accuracy" in table
    assert table.count("failed") == 2
    assert "rounds=1" not in table


def test_a_sweep_of_one_is_a_run(command: Command) -> None:
    said = command("run", "-m", "method=local", *QUICK, "output=sweep")
    assert said.code == 0, said.err
    assert Path("sweep/0/summary.json").exists()


def test_a_run_that_is_interrupted_says_how_to_go_on_and_goes_on(command: Command) -> None:
    settings = [setting for setting in QUICK if not setting.startswith("rounds")]
    arguments = ["run", "method=fedavg", *settings, "rounds=60", "evaluate_every=60", "output=long"]
    with subprocess.Popen(
        [sys.executable, "-m", "fedkd.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("round  3/"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "fedkd: stopped; continue with `fedkd resume long`\n"
    checkpoint = RunFolder.open(Path("long")).load_checkpoint()
    assert checkpoint is not None
    assert 3 <= checkpoint.round < 60
    resumed = command("resume", "long")
    assert resumed.code == 0, resumed.err
    assert "round 60/60" in resumed.out


def test_a_run_whose_clients_all_fail_keeps_its_folder(command: Command) -> None:
    said = command("run", "method=fedavg", *QUICK, "method.client.fit.optimizer.lr=1e300", "output=out")
    assert said.code == 5, said.out + said.err
    assert said.err.startswith("fedkd: ")
    assert said.err.count("\n") == 1
    assert RunFolder.open(Path("out")).load_checkpoint() is not None
