"""`--check`: everything is validated, nothing is begun."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Command = Callable[..., Any]


def test_a_check_prints_a_config_that_reproduces_itself(command: Command) -> None:
    from fedkd.assembly.experiment import Experiment

    said = command("run", "--check", "method=feddf", "partition.alpha=0.1", "seed=7")
    assert said.code == 0, said.err
    config = yaml.safe_load(said.out)
    assert config["partition"]["alpha"] == 0.1
    assert Experiment.from_config(config).resolved == config
    assert not list(Path.cwd().iterdir())


def test_a_check_says_what_the_run_costs(command: Command) -> None:
    out = command("run", "--check", "method=fd", "clients=4", "rounds=5", "model=logistic").out
    assert "logistic 650; no student" in out
    assert "20 in 5 rounds" in out
    assert "1,600 bytes a round, 8,000 (8 kB) in all" in out
    assert "1,600 bytes a round from round 2 on, 6,400 (6.4 kB) in all" in out


def test_a_check_of_a_sweep_prints_every_run(command: Command) -> None:
    said = command("run", "--check", "-m", "method=fd,fedavg", "seed=0,1")
    assert [config["seed"] for config in yaml.safe_load_all(said.out)] == [0, 1, 0, 1]


def test_a_glob_sweeps_over_recipes(command: Command) -> None:
    said = command(
        "run",
        "--check",
        "-m",
        "method=glob(fed*,exclude=[feda*,fedb*,fedc*,fedd*,fedf*,fedg*,fedk*,fedm*,fedn*,feds*])",
        "clients=range(2,4)",
    )
    found = [(config["method"]["name"], config["clients"]) for config in yaml.safe_load_all(said.out)]
    assert found == [("fedproto", 2), ("fedproto", 3), ("fedprox", 2), ("fedprox", 3)]
    assert command("run", "--check", "-m", "method=glob(nothing*)").err.startswith(
        "fedkd: method=glob(nothing*): "
    )


def test_a_check_says_that_data_is_to_be_fetched(tmp_path: Path, monkeypatch: Any, command: Command) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    assert "fashion_mnist, to be fetched first" in command("run", "--check", "data=fashion_mnist").out
    assert "digits, on this machine" in command("run", "--check").out


def test_a_check_says_that_published_weights_are_to_be_fetched(
    tmp_path: Path, monkeypatch: Any, command: Command
) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    out = command("run", "--check", "method=pretrained").out
    assert out.count("to be fetched first") == 4  # the digits, and a line for each network
    assert "ccexam/usps, to be fetched first" in out


def test_a_part_that_keeps_the_contract_passes_and_another_is_refused(command: Command) -> None:
    said = command("check", "fedkd.aggregation.fusions.era:ERA")
    assert said.code == 0, said.out + said.err
    assert "FAILED" not in said.out
    assert "hold" in said.out.splitlines()[-1]
    refused = command("check", "nomodule:Class")
    assert refused.code != 0
    assert "nomodule" in refused.out + refused.err
    assert refused.err.count("\n") <= 1
