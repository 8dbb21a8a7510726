import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedkd.foundation.seeding import Streams

SEEDS = st.integers(0, 2**31)


def test_the_streams_of_seed_0_are_the_same_on_every_machine() -> None:
    assert Streams(0).key("train", round=3, client=7) == 3044288142433008104
    assert Streams(0).numpy("partition").integers(1000, size=4).tolist() == [9, 918, 947, 819]
    assert torch.randperm(6, generator=Streams(0).torch("train")).tolist() == [3, 5, 0, 1, 4, 2]


@given(seed=SEEDS, round=st.integers(0, 10_000), client=st.integers(-1, 100_000))
def test_a_stream_does_not_depend_on_what_was_asked_for_before(seed: int, round: int, client: int) -> None:  # noqa: A002
    alone = Streams(seed).numpy("train", round=round, client=client).random(3)
    others = Streams(seed)
    others.numpy("train", round=round + 1, client=client).random(100)
    others.torch("train", round=round, client=client)
    again = others.numpy("train", round=round, client=client).random(3)
    assert (alone == again).all()


@given(seed=SEEDS)
def test_every_seed_purpose_round_and_client_has_a_stream_of_its_own(seed: int) -> None:
    streams = Streams(seed)
    keys = {
        streams.key("train"),
        streams.key("distil"),
        streams.key("train", round=1),
        streams.key("train", client=1),
        streams.key("train", round=1, client=1),
        streams.key("train", round=11),
        Streams(seed + 1).key("train"),
    }
    assert len(keys) == 7
    assert all(0 <= key < 2**63 for key in keys)


def test_rounds_and_clients_are_not_run_together() -> None:
    streams = Streams(0)
    keys = {
        streams.key("train", round=round_, client=client) for round_ in range(200) for client in range(200)
    }
    assert len(keys) == 200 * 200


def test_streams_give_numbers_that_look_drawn_at_random_over_clients() -> None:
    first = np.array([Streams(0).numpy("train", client=client).random() for client in range(2000)])
    assert abs(first.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08


def test_drawing_leaves_every_global_generator_as_it_was() -> None:
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    streams = Streams(5)
    streams.torch("a")
    streams.numpy("a").random(10)
    with streams.initialising("weights", client=2):
        nn.Linear(10, 10)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


def test_the_global_generator_is_as_it_was_even_when_building_a_network_fails() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="must be divisible"), Streams(0).initialising("weights"):
        nn.Sequential(nn.Linear(3, 3), nn.Conv2d(3, 3, 1, groups=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_depend_on_the_stream_and_on_nothing_else() -> None:
    def weights(seed: int, client: int) -> torch.Tensor:
        torch.rand(int(torch.randint(1, 9, ())))
        with Streams(seed).initialising("weights", client=client):
            return nn.Linear(4, 4).weight.detach()

    assert torch.equal(weights(0, 1), weights(0, 1))
    assert not torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))
