"""Teachers of one seed, and what they say of a proxy set before anybody learns from it.

The teachers are the clients of a federation after one round of training on their own data from common weights, the student their average
(one-shot FedDF: Lin et al., 2020). They are trained once; any number of proxy sets can then be tried on the same teachers.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from torch import Tensor, nn

from fedkd.data.datasets.base import DataSet
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.base import Partitioner
from fedkd.data.proxies.heldout import Heldout
from fedkd.data.samples import Samples
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Model, predict, run_network
from fedkd.tasks import Classification
from fedkd.training import Fit, fit

TASK = Classification()


@dataclass(frozen=True, eq=False)
class Teachers:
    """A federation after one round.

    Attributes:
        data: its data; its proxy set is a reserve that no client has, out of which proxy sets are drawn.
        networks: the clients' networks.
        average: the mean of their weights.
    """

    data: FederatedData
    networks: list[nn.Module]
    average: nn.Module

    @classmethod
    def trained(
        cls,
        data: DataSet,
        partition: Partitioner,
        model: Model,
        plan: Fit,
        *,
        clients: int,
        reserve: int,
        seed: int,
    ) -> "Teachers":
        """Train the clients, one after the other; the streams are those of a run's first round in name and number."""
        streams = Streams(seed)
        held = federate(data, partition, Heldout(size=reserve), clients, streams)
        begin = initial_network(model, held, streams, owner="server")
        networks = [
            _trained(copy.deepcopy(begin), held.client_train(client), plan, streams, client)
            for client in range(clients)
        ]
        sizes = torch.tensor([float(len(held.assignments[client])) for client in range(clients)])
        average = copy.deepcopy(begin)
        weights = [network.state_dict() for network in networks]
        average.load_state_dict(
            {
                name: torch.einsum(
                    "k...,k->...", torch.stack([own[name] for own in weights]), sizes / sizes.sum()
                )
                for name in weights[0]
            }
        )
        return cls(held, networks, average)

    def say(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of every teacher [teachers, n, classes]."""
        return torch.stack([predict(network, inputs) for network in self.networks])


def scores(teachers: Teachers, proxy: Samples, said: Tensor) -> dict[str, float]:
    """Return what can be known of a proxy set before distilling, without a label; larger is meant to be better.

    Args:
        teachers: who speak, and a reserve of data like the clients' own.
        proxy: the set.
        said: logits of every teacher on it [teachers, n, classes].

    Entropies are in units of `ln C`. `information` is the mutual information between a sample and the class that the ensemble names: entropy
    of the mean answer minus mean entropy. `likeness` is twice the error of a linear classifier that tells the set from the clients' kind
    of data by pixels (1 minus half of the proxy A-distance of Ben-David et al., 2010), five-fold cross-validated.
    """
    each = F.softmax(said.double(), dim=-1)
    fused = F.softmax(said.double().mean(dim=0), dim=-1)
    unit = float(np.log(fused.shape[-1]))
    entropy, spread = _entropy(fused).mean() / unit, _entropy(fused.mean(dim=0)) / unit
    votes = F.one_hot(said.argmax(dim=-1), said.shape[-1]).sum(dim=0).double()
    many = len(said)
    agreement = ((votes * (votes - 1)).sum(dim=-1) / (many * (many - 1))).mean()
    return {
        "size (log)": float(np.log(len(proxy))),
        "confidence": float(fused.max(dim=-1).values.mean()),
        "negative entropy": float(-entropy),
        "agreement": float(agreement),
        "teachers' confidence": float(each.max(dim=-1).values.mean()),
        "coverage": float(spread),
        "information": float(spread - entropy),
        "likeness": _likeness(proxy, teachers.data),
    }


def _trained(network: nn.Module, own: Samples, plan: Fit, streams: Streams, client: int) -> nn.Module:
    def loss(rows: Tensor) -> Tensor:
        batch = own.take(rows)
        return TASK.supervised(run_network(network, batch.inputs).logits, batch.targets).mean()

    fit(network, loss, size=len(own), plan=plan, generator=streams.torch("train", round=1, client=client))
    return network


def _entropy(probabilities: Tensor) -> Tensor:
    return -torch.special.xlogy(probabilities, probabilities).sum(dim=-1)


def _likeness(proxy: Samples, data: FederatedData) -> float:
    """Compare with samples of the clients' kind that are not in the set itself: validation data."""
    count = min(len(proxy), len(data.validation), 300)
    at = np.linspace(0, len(proxy) - 1, count).astype(int)
    sides = [samples.take(rows) for samples, rows in ((proxy, at), (data.validation, np.arange(count)))]
    pixels = np.concatenate([side.inputs["image"].flatten(1).numpy() for side in sides])
    domain = np.repeat([0, 1], count)
    told = cross_val_predict(LogisticRegression(C=0.01, max_iter=50, tol=1e-2), pixels, domain, cv=5)
    return float(min(1.0, 2 * (told != domain).mean()))
