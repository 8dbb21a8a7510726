"""Flower's own runtime: `flwr run`, with nothing of ours between Flower and the apps."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fedkd.foundation.options import Count, NonNegative
from fedkd.runtime.flower import run_with_flower
from fedkd.runtime.runtimes.base import FOLDER, Federation, Runtime

_ROUND = re.compile(r"round +\d+/\d+ ")


@dataclass(frozen=True, kw_only=True)
class Flower(Runtime):
    """Flower's SuperLink and its simulated nodes carry the clients; slower, and a check of everything else."""

    num_actors: Count = 1
    """Nodes that work at the same time, each on one CPU."""

    num_gpus: NonNegative = 0.0
    """GPUs of this machine that the nodes share equally."""

    keeps_client_states: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = True

    @property
    def device(self) -> str:
        """Where clients train."""
        return "cuda" if self.num_gpus else "cpu"

    def execute(self, federation: Federation) -> None:
        """Submit the installed apps to a SuperLink of their own; they find the run by its folder."""

        def hear(line: str) -> None:
            # The server app's process says how each round went; the rest of Flower's output is for the log.
            (federation.say if _ROUND.match(line.strip()) else federation.note)(line.strip())

        run_with_flower(
            {},
            Path(str(federation.run_config[FOLDER])),
            num_clients=federation.num_clients,
            num_actors=self.num_actors,
            num_gpus=self.num_gpus,
            on_line=hear,
        )
