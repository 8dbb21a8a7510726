"""The server works with as many threads as the config says, clients with one, and a config names the number that it had."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.distillation import Distiller
from fedkd.distillation.distiller import Taught
from fedkd.foundation.run_folder import RunFolder

Outcome = Callable[..., dict[str, object]]


@pytest.mark.usefixtures("ray_instance")
def test_many_threads_of_the_server_give_the_same_bytes_under_every_runtime(
    small: tuple[str, ...],
    uninterrupted: Callable[..., Path],
    outcome: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ("method=feddf", "model.hidden=[256]", "rounds=2", "threads=2")
    seen, distil = [], Distiller.distil

    def watched(self: Distiller, *given: Any, **named: Any) -> Taught:
        seen.append(torch.get_num_threads())
        return distil(self, *given, **named)

    monkeypatch.setattr(Distiller, "distil", watched)
    inline = outcome(uninterrupted(*given))
    ray = fedkd.run(*small, *given, "runtime=ray", "runtime.num_actors=2", output=tmp_path / "ray")
    assert outcome(ray.folder) == inline
    # Whether another number would change a bit depends on the machine; that the server had two threads does not.
    assert len(seen) >= 2
    assert set(seen) == {2}


def test_a_run_leaves_the_threads_of_its_process_as_they_were(small: tuple[str, ...], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    fedkd.run(*small, "method=dsfl", "rounds=1", f"threads={before + 1}", output=tmp_path / "run")
    assert torch.get_num_threads() == before


def test_a_config_holds_the_number_that_auto_was_wherever_it_is_run_again(
    small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = fedkd.run(*small, "method=dsfl", "rounds=1", output=tmp_path / "run")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    config = RunFolder.open(first.folder).config()
    assert config["threads"] == 1
    assert Experiment.from_config(config).threads == 1


@pytest.mark.parametrize("given", ["auto", "3"])
def test_threads_are_a_number_once_a_config_is_read(given: str) -> None:
    experiment = Experiment.from_config(compose(["runtime=inline", f"threads={given}"]))
    assert experiment.threads == experiment.resolved["threads"]
    assert experiment.threads == 3 or given == "auto"
