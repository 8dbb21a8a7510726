"""Distributions over the weights of networks, made of the clients' weights, and samples of them (FedBE: Chen & Chao, 2021).

>>> posterior = Gaussian()
>>> for client in clients:
...     posterior.add(client.number, client.weights, client.size)
>>> posterior.sample(generator)["head.weight"].shape
torch.Size([10, 64])
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedkd.aggregation.sums import RunningMean

Arrays = Mapping[str, npt.NDArray[Any]]


class Posterior(ABC):
    """A distribution over weights; what it is does not depend on the order of the clients.

    Arrays of whole numbers, which only count something, are the client's with the lowest number.

    Source: Chen & Chao, "FedBE: Making Bayesian Model Ensemble Applicable to Federated Learning" (ICLR 2021), section 4.
    """

    def __init__(self) -> None:
        self._counts: dict[int, dict[str, npt.NDArray[Any]]] = {}

    def add(self, client: int, weights: Arrays, size: int) -> None:
        """Count a client's weights, by how many samples it has."""
        self._counts[client] = {
            name: np.array(array) for name, array in weights.items() if array.dtype.kind != "f"
        }
        floats = {name: array for name, array in weights.items() if array.dtype.kind == "f"}
        self._add(client, floats, size)

    def sample(self, draw: torch.Generator) -> dict[str, Tensor]:
        """Return weights that are drawn from the distribution."""
        counts = self._counts[min(self._counts)]
        fixed = {name: torch.from_numpy(array.copy()) for name, array in counts.items()}
        return {**{name: weight.float() for name, weight in self._sample(draw).items()}, **fixed}

    @abstractmethod
    def _add(self, client: int, weights: Arrays, size: int) -> None: ...

    @abstractmethod
    def _sample(self, draw: torch.Generator) -> dict[str, Tensor]: ...


class Gaussian(Posterior):
    """Every weight is normal by itself, with mean and variance of the clients' weights by their sizes; only sums are held."""

    def __init__(self) -> None:
        super().__init__()
        self._mean, self._square = RunningMean(), RunningMean()

    def _add(self, client: int, weights: Arrays, size: int) -> None:
        del client
        doubles = {name: array.astype(np.float64) for name, array in weights.items()}
        self._mean.add(doubles, size)
        self._square.add({name: array * array for name, array in doubles.items()}, size)

    def _sample(self, draw: torch.Generator) -> dict[str, Tensor]:
        squares, drawn = self._square.result(), {}
        for name, mean in self._mean.result().items():
            spread = np.sqrt(np.maximum(squares[name] - mean * mean, 0.0))
            noise = torch.randn(mean.shape, generator=draw, dtype=torch.float64)
            drawn[name] = torch.from_numpy(mean) + torch.from_numpy(spread) * noise
        return drawn


class Dirichlet(Posterior):
    """Means of the clients' weights, whose shares are drawn from a Dirichlet distribution and multiplied by their sizes.

    Args:
        alpha: concentration, the same for all clients; small draws single clients, large their mean.
    """

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self._clients: dict[int, tuple[int, dict[str, npt.NDArray[Any]]]] = {}

    def _add(self, client: int, weights: Arrays, size: int) -> None:
        self._clients[client] = (size, {name: np.array(array) for name, array in weights.items()})

    def _sample(self, draw: torch.Generator) -> dict[str, Tensor]:
        # PyTorch's own Dirichlet draws from the global generator; NumPy's takes a seed that is drawn here.
        seed = int(torch.randint(2**62, (1,), generator=draw))
        clients = [self._clients[client] for client in sorted(self._clients)]
        shares = np.random.default_rng(seed).dirichlet(np.full(len(clients), self.alpha))
        shares *= np.array([size for size, _ in clients])
        shares /= shares.sum()
        drawn = {}
        for name in clients[0][1]:
            stack = np.stack([weights[name].astype(np.float64) for _, weights in clients])
            drawn[name] = torch.from_numpy(np.tensordot(shares, stack, axes=1))
        return drawn
