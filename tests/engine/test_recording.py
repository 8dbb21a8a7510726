"""Recorded steps: the same bits as the step as it is, and no recording of what may go another way the next time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from fedkd.clients import Step
from fedkd.engine import recording
from fedkd.engine.gradients import Batches, ClientLoss
from fedkd.engine.recording import played
from fedkd.tasks.classification import Classification

CLIENTS, SAMPLES, ELSEWHERE = 3, 20, torch.tensor([1.0, 2.0, 3.0, 4.0])
Loss = Callable[[Step], Tensor]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    recording._REMEMBERED.clear()
    yield
    recording._REMEMBERED.clear()


@dataclass
class Counted:
    """A network that counts how often Python runs it."""

    network: nn.Module
    calls: int = 0

    def __post_init__(self) -> None:
        self.network.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.calls += 1


@pytest.fixture
def counted() -> Counted:
    return Counted(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)))


def usual(step: Step) -> Tensor:
    return step.task.supervised(step.outputs.logits, step.targets).mean()


def with_a_constant(step: Step) -> Tensor:
    return (step.outputs.logits * torch.tensor([1.0, 2.0, 3.0, 4.0])).square().mean()


def with_a_constant_that_it_changes(step: Step) -> Tensor:
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scale.mul_(2)
    return (step.outputs.logits * scale).square().mean()


def with_a_tensor_from_elsewhere(step: Step) -> Tensor:
    return (step.outputs.logits * ELSEWHERE).square().mean()


def batches(network: nn.Module, seed: int, clients: int = CLIENTS, samples: int = SAMPLES) -> Batches:
    draw = torch.Generator().manual_seed(seed)
    trained = {
        name: torch.randn(clients, *weight.shape, generator=draw)
        for name, weight in network.named_parameters()
    }
    batch = {
        "targets": torch.randint(4, (samples,), generator=draw),
        "at": torch.randint(samples, (clients, 8), generator=draw),
    }
    return Batches(trained, {}, {}, {}, {"x": torch.randn(samples, 2, 3, generator=draw)}, batch)


def of(counted: Counted, loss: Loss) -> ClientLoss:
    return ClientLoss(loss, counted.network, Classification(), "float32")


def assert_exact(loss: ClientLoss, given: Batches) -> None:
    gradients, losses = played(loss, given)
    plain, plain_losses = loss.gradients(given)
    assert gradients.keys() == plain.keys()
    assert torch.equal(losses, plain_losses)
    assert all(torch.equal(gradients[name], plain[name]) for name in plain)
    assert not any(one.requires_grad for one in (*gradients.values(), losses))


@pytest.mark.parametrize("loss", [usual, with_a_constant, with_a_constant_that_it_changes])
def test_a_recording_gives_the_same_bits_without_running_python(counted: Counted, loss: Loss) -> None:
    own = of(counted, loss)
    for seed in range(6):
        assert_exact(own, batches(counted.network, seed))
    before = counted.calls
    played(own, batches(counted.network, 7))
    assert counted.calls == before


def test_the_pool_that_batches_are_gathered_from_may_have_any_size(counted: Counted) -> None:
    own = of(counted, usual)
    for samples in (20, 9, 30, 20, 50):
        assert_exact(own, batches(counted.network, samples, samples=samples))
    assert len(recording._REMEMBERED) == 1


def test_other_numbers_of_clients_are_other_forms(counted: Counted) -> None:
    own = of(counted, usual)
    for seed in range(4):
        for clients in (3, 2, 1):
            assert_exact(own, batches(counted.network, seed, clients))
    assert len(recording._REMEMBERED) == 3


def test_a_tensor_from_elsewhere_is_not_recorded_since_it_may_be_another_the_next_time(
    counted: Counted,
) -> None:
    own = of(counted, with_a_tensor_from_elsewhere)
    for seed in range(4):
        assert_exact(own, batches(counted.network, seed))
    before, kept = counted.calls, ELSEWHERE.clone()
    try:
        ELSEWHERE.mul_(3)
        assert_exact(own, batches(counted.network, 9))
    finally:
        ELSEWHERE.copy_(kept)
    assert counted.calls == before + 2


def test_a_step_with_one_tensor_in_two_places_is_not_recorded(counted: Counted) -> None:
    own = of(counted, usual)
    given = batches(counted.network, 0)
    doubled = Batches(given.trained, {}, {}, {"kept": given.batch["at"]}, given.inputs, given.batch)
    for _ in range(4):
        assert_exact(own, doubled)
    assert list(recording._REMEMBERED.values()) == [None]


def test_a_loss_that_a_round_made_is_run_as_it_is(counted: Counted) -> None:
    for scale in (1.0, 2.0, 3.0, 4.0):
        own = of(counted, lambda step, scale=scale: usual(step) * scale)
        assert_exact(own, batches(counted.network, 0))

    def closed(scale: float) -> Loss:
        return lambda step: usual(step) * scale

    own = of(counted, closed(2.0))
    for seed in range(4):
        assert_exact(own, batches(counted.network, seed))
    assert not any(callable(known) for known in recording._REMEMBERED.values())


def test_a_process_remembers_no_more_forms_than_it_may(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_MOST", 2)
    own = of(counted, usual)
    for clients in (1, 2, 3, 4):
        assert_exact(own, batches(counted.network, clients, clients))
    assert len(recording._REMEMBERED) == 2
