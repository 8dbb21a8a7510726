"""The server of FedCAD and FedSSD: what goes down beside the weights."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedkd.aggregation.credibility import credibility
from fedkd.data.federated import FederatedData
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import from_records
from fedkd.models.base import predict
from fedkd.models.logistic import Logistic
from fedkd.strategies.credibility import FedCredible


@pytest.mark.parametrize("measure", ["confidence", "unconfused"])
def test_the_network_that_goes_down_is_tried_on_the_servers_own_samples_in_every_round(
    measure: Literal["confidence", "unconfused"],
    digits: FederatedData,
    grid_saying: Callable[..., Grid],
    play: Any,
) -> None:
    network = initial_network(Logistic(), digits, Streams(0), owner="server")

    def grows(_: int, content: RecordDict) -> RecordDict:
        sent = content.array_records["weights"].to_torch_state_dict()
        sent["head.weight"] += torch.arange(10.0)[:, None] * 0.1
        return RecordDict({"arrays": ArrayRecord(sent), "metrics": MetricRecord({"num-examples": 3})})

    strategy = FedCredible(network=network, auxiliary=digits.validation, num_classes=10, measure=measure)
    game = play(strategy, grid_saying(grows, 2), ArrayRecord(network.state_dict()))
    seen = []
    for _ in range(2):
        judged = initial_network(Logistic(), digits, Streams(0), owner="server")
        judged.load_state_dict(game.arrays.to_torch_state_dict())
        expected = credibility(
            predict(judged, digits.validation.inputs),
            digits.validation.targets,
            classes=10,
            measure=measure,
        )
        game.round()
        package = from_records(game.down[0])
        assert package.kind == "credibility"
        assert torch.equal(package.values[:, 0], expected)
        seen.append(expected)
    assert not torch.equal(*seen)
