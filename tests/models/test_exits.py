"""Networks with several exits: what each exit is made of, and whose answer counts."""

from typing import Any

import pytest
import torch

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models import MODELS
from fedkd.models.base import Outputs

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def said_by(spec: Any) -> tuple[Any, Outputs]:
    with Streams(0).initialising("test"):
        network = MODELS.create(spec, key="model").network((1, 8, 8), 10)
    return network, network(X)


def test_peers_are_networks_of_their_own_of_which_one_speaks() -> None:
    network, said = said_by(
        {"name": "peers", "of": ["logistic", {"name": "mlp", "hidden": [8]}], "speaks": 1}
    )
    assert said.exits is not None
    assert said.exits.shape == (4, 2, 10)
    for place, peer in enumerate(network.networks):
        assert torch.equal(said.exits[:, place], peer(X).logits)
    assert torch.equal(said.logits, said.exits[:, 1])
    assert said.features.shape == (4, 8)


def test_heads_share_a_body_and_their_mean_answers() -> None:
    network, said = said_by({"name": "heads", "hidden": [16], "heads": 3})
    assert said.exits is not None
    assert said.exits.shape == (4, 3, 10)
    for place, head in enumerate(network.heads):
        assert torch.equal(said.exits[:, place], head(network.body(X.flatten(1))))
    assert torch.allclose(said.logits, said.exits.mean(dim=1))
    assert said.features.shape == (4, 16)


def test_branches_share_a_trunk_and_the_gate_weighs_them() -> None:
    network, said = said_by({"name": "branches", "trunk": [16], "branch": [8], "branches": 3})
    assert said.exits is not None
    assert said.exits.shape == (4, 4, 10)
    gate = torch.softmax(network.gate(network.trunk(X.flatten(1))), dim=-1)
    assert torch.allclose(gate.sum(dim=-1), torch.ones(4))
    assert torch.allclose(said.exits[:, 3], torch.einsum("nb,nbc->nc", gate, said.exits[:, :3]), atol=1e-6)
    assert torch.equal(said.logits, said.exits[:, 0])


def test_the_ensemble_of_branches_may_speak() -> None:
    _, said = said_by({"name": "branches", "speaks": "ensemble"})
    assert said.exits is not None
    assert torch.equal(said.logits, said.exits[:, -1])


def test_peers_that_branch_off_share_a_trunk_and_an_ensemble_sees_what_all_of_them_see() -> None:
    network, said = said_by({"name": "peer_branches", "trunk": [16], "branch": [8], "peers": 3})
    assert said.exits is not None
    assert said.mean_exits is not None
    shared = network.peers.trunk(X.flatten(1))
    seen = [body(shared) for body in network.peers.bodies]
    for place, (head, features) in enumerate(zip(network.peers.heads, seen, strict=True)):
        assert torch.equal(said.exits[:, place], head(features))
    assert torch.equal(said.exits[:, 3], network.ensemble(torch.cat(seen, dim=1)))
    assert torch.equal(said.mean_exits, said.exits[:, :3])  # the means begin as what they follow
    assert not said.mean_exits.requires_grad
    assert torch.equal(said.logits, said.exits[:, 0])


def test_the_ensemble_of_peers_may_speak_or_a_mean() -> None:
    _, said = said_by({"name": "peer_branches", "speaks": "ensemble"})
    assert said.exits is not None
    assert torch.equal(said.logits, said.exits[:, -1])
    _, said = said_by({"name": "peer_branches", "speaks": "mean"})
    assert said.mean_exits is not None
    assert torch.equal(said.logits, said.mean_exits[:, 0])


def test_the_deepest_exit_is_the_networks_answer_and_all_see_vectors_of_one_width() -> None:
    network, said = said_by({"name": "early_exits", "hidden": [12, 9, 6]})
    assert said.exits is not None
    assert said.exit_features is not None
    assert said.exits.shape == (4, 3, 10)
    assert said.exit_features.shape == (4, 3, 6)
    assert torch.equal(said.logits, said.exits[:, -1])
    assert torch.equal(said.features, said.exit_features[:, -1])
    for place, head in enumerate(network.heads):
        assert torch.allclose(head(said.exit_features[:, place]), said.exits[:, place])


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"name": "peers", "of": ["mlp"]}, "model.of"),
        ({"name": "peers", "of": ["mlp", "mpl"]}, r"model\.of\[1\]"),
        ({"name": "peers", "speaks": 2}, "model.speaks"),
        ({"name": "branches", "branches": 1}, "model.branches"),
        ({"name": "early_exits", "hidden": [4]}, "model.hidden"),
        ({"name": "peer_branches", "peers": 1}, "model.peers"),
    ],
)
def test_networks_without_several_exits_are_refused_by_the_option_at_fault(spec: Any, key: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{key}"):
        MODELS.create(spec, key="model")
