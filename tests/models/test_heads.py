"""Any network of vectors answers by head, whether it is run alone, copied, or with the weights of many clients at once."""

import copy

import pytest
import torch
from torch.func import stack_module_state, vmap

from fedkd.models import MODELS
from fedkd.models._heads import BELOW, by_head
from fedkd.models.base import Signature, predict, run_network, run_with

SIZES = (2, 4, 3)
SIGNATURE = Signature({"features": (5,)}, sum(SIZES), heads=SIZES)
INPUTS = {"features": torch.randn(6, 5, generator=torch.Generator().manual_seed(0))}


def test_scores_of_a_head_are_its_own_and_what_it_lacks_is_far_below_them() -> None:
    scores = torch.randn(7, 9, generator=torch.Generator().manual_seed(1), requires_grad=True)
    heads = by_head(scores, SIZES)
    assert torch.equal(torch.cat([heads[:, head, :size] for head, size in enumerate(SIZES)], dim=1), scores)
    assert torch.allclose(heads[:, 0, 2], scores[:, :2].amin(dim=1) - BELOW)
    assert float(heads.softmax(dim=-1)[:, 0, 2:].sum().detach()) < 1e-11
    heads[:, 0, 2:].sum().backward()
    assert scores.grad is None or not scores.grad.any()


@pytest.mark.parametrize("name", ["mlp", "logistic", "peers", "branches", "early_exits", "heads"])
def test_every_network_of_vectors_answers_by_head(name: str) -> None:
    network = MODELS.create(name, key="model").build(SIGNATURE).eval()
    said = run_network(network, INPUTS)
    assert said.logits.shape == (6, 3, 4)
    if said.exits is not None:
        assert said.exits.shape[2:] == (3, 4)
    assert torch.equal(predict(copy.deepcopy(network), INPUTS), said.logits)


def test_many_clients_at_once_answer_as_each_alone() -> None:
    networks = [MODELS.create("mlp", key="model").build(SIGNATURE) for _ in range(3)]
    weights, _ = stack_module_state(networks)
    together = vmap(lambda own: run_with(networks[0], own, INPUTS).logits)(weights)
    torch.testing.assert_close(together, torch.stack([predict(one, INPUTS) for one in networks]))


def test_a_signature_without_heads_leaves_answers_as_they_are() -> None:
    network = MODELS.create("mlp", key="model").build(Signature({"features": (5,)}, 9))
    assert predict(network, INPUTS).shape == (6, 9)
