"""What clients are expected to cost."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from fedkd.clients.supervised import Supervised
from fedkd.engine import ClientSide
from fedkd.engine.expected import multiplications
from fedkd.knowledge.kinds.logits import Logits
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.training import Fit

Maker = Callable[..., ClientSide]


def test_a_convolution_counts_its_weights_at_every_place() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(18, 5))
    image = {"image": torch.zeros(1, 1, 5, 5)}
    assert multiplications(network, image) == 9 * (2 * 9) + 5 * 18
    assert multiplications(network, {"image": torch.zeros(4, 1, 5, 5)}) == 4 * (9 * (2 * 9) + 5 * 18)


def test_layers_that_are_neither_cost_at_least_their_weights() -> None:
    network = nn.Embedding(10, 3)
    assert multiplications(network, {"symbols": torch.zeros(1, 2, dtype=torch.long)}) == 30


@pytest.mark.parametrize(
    ("fit", "passes"), [(Fit(epochs=3, batch_size=8), 3), (Fit(epochs=3, batch_size=1, max_steps=2), 0)]
)
def test_a_clients_work_is_samples_times_passes_times_a_samples_multiplications(
    client_side: Maker, fit: Fit, passes: int
) -> None:
    side = client_side(Supervised(fit=fit), models=(MLP(hidden=(8,)), Logistic(), Logistic(), Logistic()))
    for client, model in enumerate(side.models):
        seen = passes * len(side.data.assignments[client]) if passes else 2
        assert side.train_work(client) == seen * side.sample_work(model)
    speaking = replace(side, kind=Logits())
    assert side.data.proxy is not None
    assert speaking.train_work(1) - side.train_work(1) == len(side.data.proxy) * side.sample_work(Logistic())
