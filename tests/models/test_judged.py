"""A network with a discriminator beside it: who answers, and what is judged."""

from typing import Literal

import pytest
import torch

from fedkd.models._judged import Discriminator, Judged
from fedkd.models.base import Signature, run_network
from fedkd.models.mlp import MLP

SIGNATURE = Signature({"wide": (6,), "narrow": (2,)}, 3)
INPUTS = {"wide": torch.rand(5, 6), "narrow": torch.rand(5, 2)}


@pytest.mark.parametrize(("space", "width"), [("answers", 3), ("features", 4)])
def test_a_discriminator_is_as_wide_as_what_it_judges(
    space: Literal["answers", "features"], width: int
) -> None:
    judge = Discriminator(space, hidden=(7, 5))
    network = Judged(own=MLP(hidden=(4,)), discriminator=judge).build(SIGNATURE)
    shapes = [tuple(layer.weight.shape) for layer in network.discriminator]
    assert shapes == [(7, width), (5, 7), (1, 5)]


def test_the_network_alone_answers_about_the_view_that_it_reads() -> None:
    judge = Discriminator("answers", hidden=())
    network = Judged(own=MLP(hidden=(4,), view="narrow"), discriminator=judge).build(SIGNATURE)
    said = run_network(network, INPUTS)
    torch.testing.assert_close(said.logits, network.own(INPUTS["narrow"]).logits)
    assert said.carried is None
