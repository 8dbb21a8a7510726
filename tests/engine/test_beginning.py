"""What a client knows when its round begins: what its network says of the samples that it holds out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import Situation
from fedkd.clients.dml import DML
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, Turn
from fedkd.engine.beginning import begin
from fedkd.engine.mail import Mail
from fedkd.models.base import run_network

MAIL = Mail(RecordDict({"config": ConfigRecord({"server-round": 3})}))


@dataclass(frozen=True, kw_only=True)
class Asking(DML):
    """Remembers what is said of the held-out samples."""

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        held_out = situation.held_out()
        if held_out is None:
            return {}
        outputs, targets = held_out
        assert outputs.exits is not None
        return {"exits": outputs.exits, "targets": targets}


def test_a_strategy_may_ask_what_the_network_that_it_starts_from_says_of_held_out_samples(
    client_side: Callable[..., ClientSide], digits: FederatedData
) -> None:
    side = client_side(Asking())
    memory = begin(side, Turn(1, MAIL, RecordDict())).memory
    own = digits.client_holdout(1)
    assert len(own) > 0
    said = run_network(side.network(1).eval(), own.inputs)
    assert said.exits is not None
    torch.testing.assert_close(memory["exits"], said.exits)
    assert torch.equal(memory["targets"], own.targets)


def test_a_client_that_holds_nothing_out_is_told_so(
    client_side: Callable[..., ClientSide], digits: FederatedData
) -> None:
    bare = replace(digits, holdouts=tuple(np.arange(0) for _ in digits.holdouts))
    assert begin(client_side(Asking(), data=bare), Turn(1, MAIL, RecordDict())).memory == {}
