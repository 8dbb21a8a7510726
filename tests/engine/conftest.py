from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.engine import vectorised
from fedkd.engine.gradients import Batches, ClientLoss, Tensors
from fedkd.engine.recording import played
from fedkd.models.base import Model


class Dropping(nn.Module):
    """A network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(x.flatten(1), 0.3, training=self.training))


@dataclass(frozen=True, kw_only=True)
class Droppingly(Model):
    """A recipe for the network with dropout."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        del shape, num_outputs
        return Dropping()


@pytest.fixture
def droppingly() -> Model:
    return Droppingly()


@pytest.fixture(autouse=True)
def nothing_falls_back(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a cohort was trained one after the other without saying so: the two ways would be one."""
    yield
    if "falls_back" not in request.node.name:
        said = [
            record.getMessage()
            for record in caplog.get_records("call")
            if record.name == "fedkd.engine.handlers"
        ]
        assert not said


@pytest.fixture(autouse=True)
def recordings_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare steps that are played from a recording with the steps as they are, to the bit, whatever is tested here: the first four of each form."""
    seen: Counter[Hashable] = Counter()

    def checked(loss: ClientLoss, given: Batches, *, compiles: bool = False) -> tuple[Tensors, Tensor]:
        gradients, losses = played(loss, given, compiles=compiles)
        form = (loss, given.form())
        seen[form] += 1
        if compiles or not 2 < seen[form] <= 6:  # the first two steps are not played
            return gradients, losses
        plain, plain_losses = loss.gradients(given)
        assert gradients.keys() == plain.keys()
        assert all(_same(gradients[name], plain[name]) for name in plain)
        assert _same(losses, plain_losses)
        return gradients, losses

    monkeypatch.setattr(vectorised, "played", checked)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and one.stride() == other.stride()
