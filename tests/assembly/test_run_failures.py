"""Clients that go wrong in the middle of a real run: named, left out, counted; and the run goes on or ends cleanly."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

import fedkd
from fedkd.assembly import apps
from fedkd.foundation.errors import RoundFailed
from fedkd.foundation.run_folder import RunFolder

Change = Callable[[Message], object]
Sabotage = Callable[..., None]
Outcome = Callable[..., dict[str, object]]


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Sabotage:
    """Let some clients' replies be changed (or something else happen) in a phase from a round on."""

    def install(change: Change, *, clients: set[int], phase: str = "train", first_round: int = 2) -> None:
        app = ClientApp()

        def meddled(message: Message, context: Context) -> object:
            reply = apps.client_app(message, context)
            server_round = int(str(message.content["config"]["server-round"]))
            hit = int(context.node_config["partition-id"]) in clients and server_round >= first_round
            return change(reply) if hit and message.metadata.message_type == phase else reply

        app.train()(meddled)
        app.evaluate()(meddled)
        monkeypatch.setattr("fedkd.assembly.run.client_app", app)

    return install


def explode(reply: Message) -> Message:
    raise RuntimeError(f"no reply {reply.metadata.message_type} today")


def arrays_changed(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Change every array of numbers that a client says, but leave its ids and counts alone."""

    def changed(reply: Message) -> Message:
        said = reply.content.array_records["arrays"]
        reply.content["arrays"] = ArrayRecord(
            {
                name: array if name in {"ids", "counts"} else Array(change(array.numpy()))
                for name, array in said.items()
            }
        )
        return reply

    return changed


def without(record: str) -> Change:
    def changed(reply: Message) -> Message:
        del reply.content[record]
        return reply

    return changed


def with_codec(reply: Message) -> Message:
    reply.content["about"] = ConfigRecord({"kind": "logits", "codec": "no such codec"})
    return reply


FAULTS: dict[str, tuple[Change, str]] = {
    "raises": (explode, "RuntimeError: no reply train today"),
    "NaN": (arrays_changed(lambda x: np.full_like(x, math.nan)), "not finite"),
    "infinity": (arrays_changed(lambda x: np.full_like(x, math.inf)), "not finite"),
    "wrong shape": (arrays_changed(lambda x: x[..., :-1].copy()), "expected"),
    "no knowledge": (without("arrays"), "sent no"),
    "no metrics": (without("metrics"), "num-examples"),
    "nothing": (lambda _: None, "returned NoneType"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["fd", "fedmd", "feddf", "fedavg"])
def test_a_client_that_goes_wrong_is_named_left_out_and_counted(
    method: str, fault: str, sabotage: Sabotage, small: tuple[str, ...], tmp_path: Path
) -> None:
    change, reason = FAULTS[fault]
    sabotage(change, clients={1})
    result = fedkd.run(
        *small, f"method={method}", "rounds=2", "clients_per_round=null", output=tmp_path / "run"
    )
    log = (result.folder / "log.txt").read_text()
    [line] = [line for line in log.splitlines() if "is left out" in line]
    assert "round 2: client 1 is left out: " in line
    assert reason in line
    assert failures(result.folder) == [0, 0, 1]
    assert result.summary["failures"] == 1
    assert evaluated(result.folder) == {1: {0, 1, 2, 3}, 2: {0, 2, 3}}


def test_a_codec_that_nobody_knows_is_its_clients_failure(
    sabotage: Sabotage, small: tuple[str, ...], tmp_path: Path
) -> None:
    sabotage(with_codec, clients={2}, first_round=1)
    result = fedkd.run(*small, "method=fedmd", "rounds=1", "clients_per_round=null", output=tmp_path / "run")
    assert "client 2 is left out" in (result.folder / "log.txt").read_text()
    assert failures(result.folder) == [0, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (explode, "no reply evaluate today"),
        (without("predictions"), "sent no predictions and metrics"),
        (
            lambda reply: Message(
                RecordDict({**reply.content, "predictions": ArrayRecord()}), reply_to=_asked(reply)
            ),
            "of shape []",
        ),
    ],
)
def test_a_client_that_cannot_be_evaluated_is_named_and_still_counts_as_a_teacher(
    change: Change, reason: str, sabotage: Sabotage, small: tuple[str, ...], tmp_path: Path
) -> None:
    sabotage(change, clients={3}, phase="evaluate")
    result = fedkd.run(*small, "method=feddf", "rounds=2", "clients_per_round=null", output=tmp_path / "run")
    log = (result.folder / "log.txt").read_text()
    assert "round 2: client 3 is not evaluated: " in log
    assert reason in log
    assert failures(result.folder) == [0, 0, 0]
    assert evaluated(result.folder) == {1: {0, 1, 2, 3}, 2: {0, 1, 2}}


MOODY = '''
from dataclasses import dataclass

from torch import nn

from fedkd.models.base import Model


class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        first, second = self.head.bias.detach()[:2]
        if not self.training and float(first) > float(second):
            raise RuntimeError("not to be judged")
        return self.head(x.flatten(1))


@dataclass(frozen=True, kw_only=True)
class Moodily(Model):
    """A network that says nothing in evaluation mode if it prefers the first class to the second."""

    def network(self, shape, num_outputs):
        return Moody()
'''


def test_clients_whose_networks_cannot_be_evaluated_are_named_and_the_others_of_their_cohort_are(
    small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moody_network.py").write_text(MOODY)
    monkeypatch.syspath_prepend(tmp_path)
    given = [one for one in small if not one.startswith("model")]
    given += ["model=moody_network:Moodily", "method=local", "engine=vectorised", "partition=dirichlet"]
    result = fedkd.run(*given, "rounds=1", "clients_per_round=null", output=tmp_path / "run")
    log = (result.folder / "log.txt").read_text()
    reason = "is not evaluated: RuntimeError: not to be judged"
    failed = {client for client in range(4) if f"round 1: client {client} {reason}" in log}
    assert failed
    assert evaluated(result.folder) == {1: {0, 1, 2, 3} - failed}  # no key 1 if all had failed
    assert failures(result.folder) == [0, 0]


def test_when_all_clients_fail_the_run_ends_with_a_reason_and_can_be_resumed(
    sabotage: Sabotage,
    small: tuple[str, ...],
    uninterrupted: Callable[..., Path],
    outcome: Outcome,
    tmp_path: Path,
) -> None:
    # The app that is meddled with handles one client at a time, so the bytes are those of the sequential engine.
    given = ("method=dsfl", "engine=sequential")
    expected = outcome(uninterrupted(*given))
    sabotage(explode, clients={0, 1, 2, 3})
    folder = tmp_path / "run"
    with pytest.raises(
        RoundFailed, match="only 0 clients gave a usable answer, at least 1 are needed"
    ) as failed:
        fedkd.run(*small, *given, output=folder)
    assert failed.value.exit_code == 5
    log = (folder / "log.txt").read_text()
    assert log.count("is left out: RuntimeError") == 3
    assert "round 2 failed: only 0 clients" in log
    assert failures(folder) == [0, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedkd.assembly.run.client_app", apps.client_app)
        fedkd.resume(folder)
    assert outcome(folder) == expected


def test_a_round_below_min_clients_ends_the_run(
    sabotage: Sabotage, small: tuple[str, ...], tmp_path: Path
) -> None:
    sabotage(explode, clients={0, 1})
    given = ("method=feddf", "clients_per_round=null", "min_clients=3")
    with pytest.raises(RoundFailed, match="only 2 clients gave a usable answer, at least 3 are needed"):
        fedkd.run(*small, *given, output=tmp_path / "run")
    checkpoint = RunFolder.open(tmp_path / "run").load_checkpoint()
    assert checkpoint is not None
    assert checkpoint.round == 1


@pytest.mark.usefixtures("ray_instance")
def test_under_ray_a_client_that_never_answers_is_named_after_the_timeout(
    sabotage: Sabotage, small: tuple[str, ...], tmp_path: Path
) -> None:
    def hang(reply: Message) -> Message:
        import time

        time.sleep(600)
        return reply

    sabotage(hang, clients={0})
    ray = ("runtime=ray", "runtime.num_actors=2", "client_timeout=16")
    result = fedkd.run(
        *small, "method=fedavg", "rounds=2", "clients_per_round=null", *ray, output=tmp_path / "run"
    )
    log = (result.folder / "log.txt").read_text()
    assert "round 2: client 0 is left out: no answer within 16 s" in log
    assert "and was replaced" in log
    assert failures(result.folder) == [0, 0, 1]
    assert evaluated(result.folder)[2] == {1, 2, 3}


def _asked(reply: Message) -> Message:
    """Return a message that a reply can be made to, from the same node."""
    return Message(RecordDict(), dst_node_id=reply.metadata.src_node_id, message_type="evaluate")


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def failures(folder: Path) -> list[object]:
    return [row["value"] for row in rows_of(folder) if (row["scope"], row["metric"]) == ("round", "failures")]


def evaluated(folder: Path) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for row in rows_of(folder):
        if (
            row["client"] is not None and row["split"] != "proxy"
        ):  # what a teacher counted there is known without its evaluation
            found.setdefault(row["round"], set()).add(row["client"])
    return found
