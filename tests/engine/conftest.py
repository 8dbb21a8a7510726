from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fedkd.engine import vectorised
from fedkd.engine.gradients import Batches, ClientLoss, Tensors
from fedkd.engine.recording import played


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
    """Compare every step that is played from a recording with the step as it is, to the bit, whatever is tested here."""

    def checked(loss: ClientLoss, given: Batches, *, compiles: bool = False) -> tuple[Tensors, Tensor]:
        gradients, losses = played(loss, given, compiles=compiles)
        if compiles:
            return gradients, losses
        plain, plain_losses = loss.gradients(given)
        assert gradients.keys() == plain.keys()
        assert all(_same(gradients[name], plain[name]) for name in plain)
        assert _same(losses, plain_losses)
        return gradients, losses

    monkeypatch.setattr(vectorised, "played", checked)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and one.stride() == other.stride()
