"""What contestants are given: data, initial weights, who takes part and in which order samples come, as plain arrays in a folder.

Contestants in other environments read it without fedkd. A raw loop would do:

>>> material = Material.open(folder)
>>> for place, client in enumerate(material.participants[0]):
...     for x, y in material.batches(0, place):
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simulations.bench.networks import Network, network

ARRAYS = ("x", "y", "participants", "orders", "initial")
PUBLIC = ("proxy", "owns", "digests", "distils")


@dataclass(frozen=True)
class Material:
    """The same work for every contestant.

    Args:
        folder: where the arrays are.
        plan: model, batch_size, lr, temperature, and `overrides`, from which fedkd builds the same.

    Arrays: x [clients, samples, ...], y [clients, samples], participants [rounds, cohort], orders
    [rounds, cohort, epochs, samples], initial [weights]; with a proxy set also proxy [n, ...], owns [clients, weights],
    digests [rounds, cohort, epochs, n] and distils [rounds, epochs, n].
    """

    folder: Path
    plan: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Material":
        """Open a folder; arrays are mapped, so that processes of one machine share them."""
        return cls(folder, json.loads((folder / "plan.json").read_text(encoding="utf-8")))

    def array(self, name: str) -> Tensor:
        """Return an array, mapped from its file."""
        # Copy on write: nobody writes, but PyTorch wants arrays that it could write to.
        return torch.from_numpy(np.load(self.folder / f"{name}.npy", mmap_mode="c"))

    @cached_property
    def x(self) -> Tensor:
        """Inputs of all clients."""
        return self.array("x")

    @cached_property
    def y(self) -> Tensor:
        """Labels of all clients."""
        return self.array("y")

    @cached_property
    def orders(self) -> Tensor:
        """Positions of samples, in the order in which they are trained on."""
        return self.array("orders")

    @cached_property
    def participants(self) -> list[list[int]]:
        """The clients of each round."""
        return [[int(client) for client in row] for row in self.array("participants")]

    @cached_property
    def initial(self) -> Tensor:
        """The server's initial weights in one row."""
        return self.array("initial").clone()

    @property
    def batch_size(self) -> int:
        """Samples a step."""
        return int(self.plan["batch_size"])

    @property
    def lr(self) -> float:
        """Learning rate of the plain SGD that all do."""
        return float(self.plan["lr"])

    def network(self) -> nn.Module:
        """Build the network with the server's initial weights."""
        plan = self.plan["network"]
        shaped = {key: tuple(value) if isinstance(value, list) else value for key, value in plan.items()}
        built = network(Network(**shaped))
        nn.utils.vector_to_parameters(self.initial.clone(), built.parameters())
        return built

    def samples(self, turn: int, place: int) -> tuple[Tensor, Tensor]:
        """Return a client's samples, all epochs, in the order in which it trains on them; `turn` counts rounds from 0."""
        client = self.participants[turn][place]
        order = self.orders[turn, place].flatten().long()
        return self.x[client][order], self.y[client][order]

    def batches(self, turn: int, place: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of a client's round."""
        x, y = self.samples(turn, place)
        yield from zip(x.split(self.batch_size), y.split(self.batch_size), strict=True)
