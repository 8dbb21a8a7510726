"""The reply to an evaluate message, as it is made by clients and read by the server."""

import math

import pytest
import torch
from flwr.app import MetricRecord, RecordDict

from fedkd.engine.evaluating import (
    evaluation_replies,
    outputs_on,
    own_metrics,
    said_of_split,
)
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.tasks import Classification

TASK = Classification()
GENERATOR = torch.Generator().manual_seed(2)
OUTPUTS = {
    split: torch.randn(3, n, 5, generator=GENERATOR) for split, n in (("validation", 20), ("test", 31))
}
TARGETS = {split: torch.randint(5, (said.shape[1],), generator=GENERATOR) for split, said in OUTPUTS.items()}
OWN = [
    (torch.randn(n, 5, generator=GENERATOR), torch.randint(5, (n,), generator=GENERATOR)) for n in (4, 0, 7)
]


def replies() -> list[RecordDict]:
    return [deserialise(serialise(reply)) for reply in evaluation_replies(TASK, OUTPUTS, TARGETS, OWN)]


def test_a_reply_holds_outputs_and_metrics_on_every_split_and_on_own_samples() -> None:
    for client, reply in enumerate(replies()):
        for split, every in OUTPUTS.items():
            assert torch.equal(outputs_on(reply, split), every[client])
            said = {**TASK.metrics(every[client], TARGETS[split]), "dead": 0.0}
            assert said_of_split(reply, TASK, split) == said
        expected = TASK.metrics(*OWN[client])
        assert own_metrics(reply) == pytest.approx(expected, nan_ok=True)
        assert reply.metric_records["metrics"]["num-examples"] == len(OWN[client][1])
    assert math.isnan(own_metrics(replies()[1])["loss"])


def test_replies_made_together_are_those_made_one_by_one() -> None:
    for client, reply in enumerate(replies()):
        only = {split: every[client : client + 1] for split, every in OUTPUTS.items()}
        [alone] = evaluation_replies(TASK, only, TARGETS, [OWN[client]])
        assert serialise(reply) == serialise(alone)


def test_a_network_that_has_died_says_so() -> None:
    dead = {"test": torch.zeros(1, 31, 5)}
    [reply] = evaluation_replies(TASK, dead, TARGETS, OWN[:1])
    said = said_of_split(reply, TASK, "test")
    assert said is not None
    assert said["dead"] == 1.0


@pytest.mark.parametrize(
    "record", [{"accuracy": 1.0}, {**dict.fromkeys(TASK.metric_names, 0.5), "dead": [1.0]}]
)
def test_a_split_that_is_not_told_in_full_is_not_told(record: dict[str, float]) -> None:
    reply = RecordDict({"metrics/test": MetricRecord({**record})})
    assert said_of_split(reply, TASK, "test") is None
    assert said_of_split(reply, TASK, "validation") is None


def test_own_metrics_must_be_numbers() -> None:
    with pytest.raises(ValueError, match=r"metrics \['loss'\] are not single numbers"):
        own_metrics(RecordDict({"metrics": MetricRecord({"loss": [1.0, 2.0], "accuracy": 0.5})}))
