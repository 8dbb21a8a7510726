"""What a round's evaluation says, on outputs chosen so that every number can be seen."""

import math

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from torch import nn

from fedkd.data.samples import Samples
from fedkd.foundation.run_folder import MetricRow
from fedkd.runtime.evaluation import Evaluation, final_values
from fedkd.tasks import Classification

TARGETS = torch.tensor([0, 1, 2, 0])
SURE = 20.0


@pytest.fixture
def evaluation() -> Evaluation:
    samples = Samples({"table": torch.zeros(4, 2)}, TARGETS, torch.arange(4))
    return Evaluation(Classification(), {"test": samples})


def says(*classes: int) -> RecordDict:
    """Give the reply of a client that is sure of these classes and had an accuracy of a half on its own data."""
    outputs = SURE * torch.nn.functional.one_hot(torch.tensor(classes), 3).float()
    own = MetricRecord({"num-examples": 2, "accuracy": 0.5, "loss": 1.0})
    return RecordDict({"predictions": ArrayRecord({"test": Array(outputs.numpy())}), "metrics": own})


def teach(
    evaluation: Evaluation, replies: dict[int, RecordDict], weights: dict[int, float] | None = None
) -> dict[str, float | None]:
    return final_values(evaluation.teachers(1, replies, weights, {}))


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
    rows: list[MetricRow] = evaluation.teachers(4, {5: says(0, 1, 2, 0)}, None, {})
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
    final = final_values(evaluation.teachers(2, {0: says(0, 1, 2, 0)}, None, outputs))
    assert final["student/test/agreement"] == 0.5


def test_without_any_reply_there_is_nothing_to_say_about_clients(evaluation: Evaluation) -> None:
    assert teach(evaluation, {}) == {"clients_mean/test/dead": 0.0}
