from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.clients import CLIENTS, ClientStrategy, Situation, Step
from fedkd.clients.codistillation import CoDistillation
from fedkd.clients.fd import FD
from fedkd.clients.fedprox import FedProx
from fedkd.clients.isolated import Isolated
from fedkd.clients.supervised import Supervised
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package
from fedkd.losses import kd
from fedkd.models.base import run_network
from fedkd.models.mlp import MLP
from fedkd.tasks import Classification, Regression
from fedkd.training import Fit

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 2, 0, 1, 0])
TASK = Classification()


def network(num_outputs: int = 3) -> nn.Module:
    with Streams(0).initialising("test"):
        return MLP(hidden=(5,)).network((4,), num_outputs)


def situation(
    received: Package | None = None, *, first: bool = True, start: nn.Module | None = None
) -> Situation:
    return Situation(first, received, dict((start or network()).named_parameters()))


def step(built: nn.Module, **changed: Any) -> Step:
    usual = {
        "outputs": run_network(built, {"x": X}),
        "targets": TARGETS,
        "teacher": None,
        "parameters": dict(built.named_parameters()),
        "memory": {},
        "task": TASK,
    }
    return Step(**(usual | changed))


def gradients(built: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*built.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize("strategy", [Supervised(), Isolated(), CoDistillation()])
def test_clients_learn_from_their_own_labels_by_the_loss_of_the_task(strategy: ClientStrategy) -> None:
    built = network()
    loss = strategy.train_loss(step(built))
    assert torch.allclose(loss, F.cross_entropy(built(X).logits, TARGETS))
    numbers = torch.randn(6, 1)
    built = network(1)
    loss = strategy.train_loss(step(built, targets=numbers, task=Regression()))
    assert torch.allclose(loss, F.mse_loss(built(X).logits, numbers))


@pytest.mark.parametrize("mu", [0.0, 0.01, 5.0])
def test_fedprox_pulls_every_weight_towards_the_received_one_with_strength_mu(mu: float) -> None:
    strategy, built = FedProx(mu=mu), network()
    memory = strategy.remember(situation(start=built))
    moved = network()
    with torch.no_grad():
        for weight in moved.parameters():
            weight.add_(0.3)
    plain = gradients(moved, F.cross_entropy(moved(X).logits, TARGETS))
    pulled = gradients(moved, strategy.train_loss(step(moved, memory=memory)))
    start = dict(built.named_parameters())
    for name, weight in moved.named_parameters():
        assert torch.allclose(pulled[name], plain[name] + mu * (weight - start[name]), atol=1e-6)


def test_what_fedprox_remembers_does_not_move_with_the_network() -> None:
    built = network()
    memory = FedProx().remember(situation(start=built))
    before = {name: tensor.clone() for name, tensor in memory.items()}
    with torch.no_grad():
        for weight in built.parameters():
            weight.zero_()
    assert all(torch.equal(memory[name], before[name]) for name in before)


def test_fd_adds_the_divergence_from_the_mean_logits_of_each_samples_own_label() -> None:
    means = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    strategy = FD(gamma=0.7, temperature=2.0)
    received = Package("class_means", {"values": means}, counts=torch.ones(3, dtype=torch.long))
    memory = strategy.remember(situation(received))
    built = network()
    said = built(X).logits
    expected = F.cross_entropy(said, TARGETS) + 0.7 * kd(said, means[TARGETS], temperature=2.0)
    assert torch.allclose(strategy.train_loss(step(built, memory=memory)), expected)


def test_fd_learns_nothing_about_labels_of_which_nobody_spoke() -> None:
    means = torch.full((3, 3), 50.0)
    means[0] = torch.tensor([1.0, 2.0, 3.0])
    strategy = FD(gamma=1.0)
    received = Package("class_means", {"values": means}, counts=torch.tensor([2, 0, 0]))
    memory = strategy.remember(situation(received))
    built = network()
    said = built(X).logits
    each = kd(said, means[TARGETS], temperature=1.0, reduction="none") * (TARGETS == 0)
    expected = F.cross_entropy(said, TARGETS) + each.mean()
    assert torch.allclose(strategy.train_loss(step(built, memory=memory)), expected)


def test_fd_without_word_from_others_is_training_alone() -> None:
    strategy = FD()
    assert strategy.remember(situation()) == {}
    built = network()
    assert torch.equal(strategy.train_loss(step(built)), Isolated().train_loss(step(built)))


@pytest.mark.parametrize(
    ("divergence", "temperature"), [("task", 1.0), ("task", 3.0), ("mae", 1.0), ("mse", 1.0)]
)
def test_a_digest_is_the_mean_divergence_from_the_consensus(divergence: Any, temperature: float) -> None:
    consensus = torch.randn(6, 3)
    strategy = CoDistillation(divergence=divergence, temperature=temperature)
    built = network()
    loss = strategy.digest_loss(step(built, teacher=consensus))
    each = TASK.divergence(built(X).logits, consensus, measure=divergence, temperature=temperature)
    assert torch.allclose(loss, each.mean())


@pytest.mark.parametrize(
    ("first", "consensus", "pretrain", "stages"),
    [
        (True, False, 2, ["pretrain", "train"]),
        (True, True, 2, ["pretrain", "digest", "train"]),
        (False, True, 2, ["digest", "train"]),
        (False, False, 2, ["train"]),
        (True, True, 0, ["digest", "train"]),
    ],
)
def test_co_distillation_pretrains_once_and_digests_when_there_is_a_consensus(
    first: bool, consensus: bool, pretrain: int, stages: list[str]
) -> None:
    strategy = CoDistillation(pretrain=Fit(epochs=pretrain))
    received = Package("logits", {"values": torch.zeros(2, 3)}, ids=torch.arange(2)) if consensus else None
    planned = strategy.stages(situation(received, first=first))
    assert [stage.name for stage in planned] == stages
    sources = {"pretrain": "public", "digest": "proxy", "train": "private"}
    assert [stage.source for stage in planned] == [sources[name] for name in stages]
    assert strategy.learns_proxy_labels == (pretrain > 0)


def test_only_some_clients_keep_their_network_and_start_from_weights_of_their_own() -> None:
    found = {name: CLIENTS.find(name, key="client") for name in CLIENTS.names()}
    assert [name for name, cls in found.items() if cls.persistent] == [
        "adaptive_mutual",
        "adversarial",
        "codistillation",
        "fd",
        "fedgkt",
        "fedproto",
        "fml",
        "isolated",
        "teacher",
    ]
    assert [name for name, cls in found.items() if cls.own_initialisation] == [
        "adversarial",
        "codistillation",
        "teacher",
    ]


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_a_digest_may_learn_the_labels_of_the_public_set_too(share: float) -> None:
    consensus = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    strategy, built = CoDistillation(label_weight=share), network()
    said = built(X).logits
    expected = (1 - share) * kd(said, consensus, temperature=1.0) + share * F.cross_entropy(said, TARGETS)
    assert torch.allclose(strategy.digest_loss(step(built, teacher=consensus)), expected)
    assert strategy.learns_proxy_labels == (share > 0)
