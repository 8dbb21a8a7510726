from typing import Any

import pytest
import torch
from torch import nn

from fedkd.engine.optimizers import Stacked
from fedkd.training import Optimizer

CLIENTS = 3
RULES: list[dict[str, Any]] = [
    {"name": "sgd", "weight_decay": 0.1},
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"name": "adam", "weight_decay": 0.1},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "sgd", "clip_norm": 0.5},
    {"name": "adam", "clip_norm": 0.5, "weight_decay": 0.1},
]


@pytest.mark.parametrize("options", RULES, ids=str)
def test_gradients_that_are_one_tensor_or_one_number_move_each_weight_by_itself(
    options: dict[str, Any],
) -> None:
    """As those of two weights that are added up, and of one that is."""
    rule = Optimizer(lr=0.1, **options)
    start = {name: torch.randn(CLIENTS, 4, dtype=torch.float64) for name in ("one", "other", "alike")}
    together = {name: weight.clone() for name, weight in start.items()}
    optimizer = Stacked(rule, together)
    networks = [
        nn.ParameterDict({name: nn.Parameter(weight[client].clone()) for name, weight in start.items()})
        for client in range(CLIENTS)
    ]
    alone = [rule.start(network) for network in networks]
    for _ in range(3):
        shared = torch.randn(CLIENTS, 4, dtype=torch.float64)
        ones = torch.ones((), dtype=torch.float64)
        before = shared.clone()
        gradients = {"one": shared, "other": shared, "alike": ones.expand(CLIENTS, 4)}
        optimizer.step(gradients, active=CLIENTS, rates=rule.lr)
        assert torch.equal(shared, before)
        for client, (network, single) in enumerate(zip(networks, alone, strict=True)):
            for name, weight in network.items():
                weight.grad = gradients[name][client].clone()
            if rule.clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), rule.clip_norm)
            single.step()
    for client, network in enumerate(networks):
        for name, weight in network.items():
            torch.testing.assert_close(together[name][client], weight.detach(), rtol=1e-12, atol=1e-12)
