"""What a round's evaluation says, on outputs chosen so that every number can be seen."""

import gc
import math
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor, nn

from fedkd.data.samples import Samples
from fedkd.engine.evaluating import evaluation_replies
from fedkd.foundation.run_folder import MetricRow
from fedkd.knowledge import BadPackage
from fedkd.runtime import evaluation as module
from fedkd.runtime.evaluation import Evaluation, final_values
from fedkd.runtime.flower_internals import identify
from fedkd.tasks import Classification

TARGETS = torch.tensor([0, 1, 2, 0])
SURE = 20.0


@pytest.fixture
def evaluation() -> Evaluation:
    samples = Samples({"table": torch.zeros(4, 2)}, TARGETS, torch.arange(4))
    return Evaluation(Classification(), {"test": samples}, answer=(3,))


def says(*classes: int) -> RecordDict:
    """Give the reply of a client that is sure of these classes and had an accuracy of a half on its own data."""
    outputs = SURE * torch.nn.functional.one_hot(torch.tensor(classes), 3).float()
    own = MetricRecord({"num-examples": 2, "accuracy": 0.5, "loss": 1.0})
    return RecordDict({"predictions": ArrayRecord({"test": Array(outputs.numpy())}), "metrics": own})


def teach(
    evaluation: Evaluation, replies: dict[int, RecordDict], weights: dict[int, float] | None = None
) -> dict[str, float | None]:
    return final_values(evaluation.teachers(1, replies.items(), weights, {}))


def test_ensembles_are_over_clients_by_their_weights_and_the_oracle_takes_the_best_of_each_sample(
    evaluation: Evaluation,
) -> None:
    replies = {0: says(0, 1, 0, 1), 3: says(0, 1, 0, 1), 7: says(1, 0, 2, 0)}
    final = teach(evaluation, replies, {0: 0.1, 3: 0.1, 7: 0.8})
    assert final["ensemble_uniform/test/accuracy"] == 0.5  # two against one
    assert final["ensemble_weighted/test/accuracy"] == 0.5
    assert final["ensemble_oracle/test/accuracy"] == 1.0
    weighted = teach(evaluation, {0: says(0, 1, 2, 1), 3: says(0, 1, 2, 1), 7: says(0, 1, 2, 0)}, {7: 1.0})
    assert weighted["ensemble_uniform/test/accuracy"] == 0.75
    assert weighted["ensemble_weighted/test/accuracy"] == 1.0


def test_mean_and_worst_clients_are_over_all_of_them(evaluation: Evaluation) -> None:
    final = teach(evaluation, {0: says(0, 1, 2, 0), 1: says(0, 1, 0, 1)})
    assert final["clients_mean/test/accuracy"] == 0.75
    assert final["clients_worst/test/accuracy"] == 0.5
    assert final["clients_worst/test/loss"] == pytest.approx(SURE / 2)
    assert final["clients_mean/own/accuracy"] == 0.5


def test_a_network_that_has_died_is_counted_and_not_averaged_in(evaluation: Evaluation) -> None:
    dead = says(0, 0, 0, 0)
    not_finite = RecordDict({**says(0, 1, 2, 0)})
    not_finite["predictions"] = ArrayRecord({"test": Array(np.full((4, 3), math.nan, dtype=np.float32))})
    final = teach(evaluation, {0: says(0, 1, 2, 0), 1: dead, 2: not_finite})
    assert final["clients_mean/test/dead"] == 2.0
    assert final["ensemble_uniform/test/accuracy"] == 1.0
    alone = teach(evaluation, {1: dead})
    assert alone["clients_mean/test/dead"] == 1.0
    assert not any(key.startswith("ensemble") for key in alone)


def test_single_clients_are_rows_and_no_part_of_the_final_values(evaluation: Evaluation) -> None:
    rows: list[MetricRow] = evaluation.teachers(4, [(5, says(0, 1, 2, 0))], None, {})
    mine = [(row["split"], row["metric"], row["value"]) for row in rows if row["client"] == 5]
    assert ("test", "accuracy", 1.0) in mine
    assert ("own", "accuracy", 0.5) in mine
    assert not any("client/" in key for key in final_values(rows))


def test_the_student_is_compared_with_its_teachers(evaluation: Evaluation) -> None:
    class Always(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([SURE, 0.0, 0.0]).repeat(len(x), 1)

    rows, outputs = evaluation.student(2, Always())
    assert final_values(rows)["student/test/accuracy"] == 0.5
    final = final_values(evaluation.teachers(2, [(0, says(0, 1, 2, 0))], None, outputs))
    assert final["student/test/agreement"] == 0.5


def test_without_any_reply_there_is_nothing_to_say_about_clients(evaluation: Evaluation) -> None:
    assert teach(evaluation, {}) == {"clients_mean/test/dead": 0.0}


def random_replies(evaluation: Evaluation, clients: int, *, measured: bool = True) -> dict[int, RecordDict]:
    """Give the replies of clients of fedkd's own, or of an app that measures nothing on the global splits."""
    generator = torch.Generator().manual_seed(1)
    replies = {}
    for client in range(clients):
        outputs = 3 * torch.randn(4, 3, generator=generator)
        [reply] = evaluation_replies(
            evaluation.task, {"test": outputs[None]}, {"test": TARGETS}, [(outputs[:2], TARGETS[:2])]
        )
        if not measured:
            del reply["metrics/test"]
        replies[client] = reply
    return replies


def test_what_a_client_measured_is_what_would_be_measured_for_one_that_says_nothing(
    evaluation: Evaluation,
) -> None:
    weights = {client: float(client) for client in range(5)}
    silent = evaluation.teachers(
        1, random_replies(evaluation, 5, measured=False).items(), weights, {"test": torch.eye(4, 3)}
    )
    said = evaluation.teachers(1, random_replies(evaluation, 5).items(), weights, {"test": torch.eye(4, 3)})
    assert said == silent


def test_a_client_is_believed_about_itself_but_cannot_poison_an_ensemble(evaluation: Evaluation) -> None:
    replies = {0: says(0, 1, 2, 0), 1: says(0, 1, 2, 1)}
    claims = MetricRecord({"accuracy": 0.125, "macro_f1": 0.125, "loss": 2.0, "ece": 0.0, "dead": 0.0})
    replies[1]["metrics/test"] = claims
    replies[1]["predictions"] = ArrayRecord({"test": Array(np.full((4, 3), math.nan, dtype=np.float32))})
    final = teach(evaluation, replies)
    assert final["clients_worst/test/accuracy"] == 0.125
    assert final["clients_mean/test/dead"] == 1.0
    assert final["ensemble_uniform/test/accuracy"] == 1.0


def test_rows_of_clients_are_sorted_and_those_of_a_split_come_in_the_same_order_as_ever(
    evaluation: Evaluation,
) -> None:
    replies = random_replies(evaluation, 3)
    backwards = [(client, replies[client]) for client in (2, 0, 1)]
    rows = evaluation.teachers(1, backwards, None, {"test": torch.eye(4, 3)})
    every = ("accuracy", "macro_f1", "loss", "ece")
    over = [(scope, "test", name) for name in every for scope in ("clients_mean", "clients_worst")]
    own = [(scope, "own", name) for name in every for scope in ("clients_mean", "clients_worst")]
    assert [(row["scope"], row["split"], row["metric"]) for row in rows] == [
        ("clients_mean", "test", "dead"),
        *((f"ensemble_{kind}", "test", name) for kind in ("uniform", "weighted", "oracle") for name in every),
        ("student", "test", "agreement"),
        *(("client", "test", name) for _ in range(3) for name in ("accuracy", "loss")),
        *over,
        *(("client", "own", name) for _ in range(3) for name in ("accuracy", "loss")),
        *own,
    ]
    assert [row["client"] for row in rows if row["client"] is not None] == [0, 0, 1, 1, 2, 2] * 2


def test_the_outputs_of_earlier_clients_are_let_go(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs: list[weakref.ref[Tensor]] = []
    contents: list[weakref.ref[RecordDict]] = []
    alive = []
    read = module.outputs_on

    def remembered(content: RecordDict, split: str) -> Tensor:
        said = read(content, split)
        outputs.append(weakref.ref(said))
        contents.append(weakref.ref(content))
        return said

    def replies() -> Iterator[tuple[int, RecordDict]]:
        for client in range(6):
            alive.append(sum(each() is not None for each in outputs))
            yield client, random_replies(evaluation, 1)[0]
        gc.collect()  # Flower's records hold on to each other
        assert sum(each() is not None for each in contents) == 1

    monkeypatch.setattr(module, "outputs_on", remembered)
    evaluation.teachers(1, replies(), None, {})
    assert alive == [0, 1, 1, 1, 1, 1]


def test_a_reply_of_the_wrong_width_or_with_a_metric_that_is_no_number_is_refused(
    evaluation: Evaluation,
) -> None:
    identify()
    asked = Message(RecordDict(), dst_node_id=1, message_type="evaluate")
    evaluation.require_usable(Message(says(0, 1, 2, 0), reply_to=asked))
    narrow = says(0, 1, 2, 0)
    narrow["predictions"] = ArrayRecord({"test": Array(np.zeros((4, 2), dtype=np.float32))})
    with pytest.raises(BadPackage, match=r"of shape \[4, 2\] on test, expected \[4, 3\]"):
        evaluation.require_usable(Message(narrow, reply_to=asked))
    listed = says(0, 1, 2, 0)
    listed["metrics"] = MetricRecord({"num-examples": 2, "accuracy": [0.5, 0.5]})
    with pytest.raises(BadPackage, match=r"metrics \['accuracy'\] are not single numbers"):
        evaluation.require_usable(Message(listed, reply_to=asked))
