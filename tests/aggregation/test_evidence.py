"""What clients say about themselves crosses as a record, and is refused where it is not what was asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, RecordDict

from fedkd.aggregation.evidence import evidence_bytes, evidence_of, read_evidence
from fedkd.aggregation.weightings.class_counts import ClassCounts
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.clients.supervised import Supervised
from fedkd.engine.trained import Trained
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.arrays import record_of
from fedkd.knowledge.package import BadPackage, payload_of


def sent(numbers: Any) -> RecordDict:
    return RecordDict({"evidence": record_of({"class_counts": np.asarray(numbers, np.float32)})})


def test_what_a_client_sends_is_what_the_server_reads_and_the_ledger_counts(
    client_side: Callable[..., Any],
) -> None:
    side = client_side(Supervised())
    trained = Trained.of(side, 0, side.network(0), side.network(0).state_dict())
    ids, generator = side.data.proxy.ids, Streams(0).torch("evidence")
    content = RecordDict({**evidence_of(ClassCounts(), trained, ids, generator)})
    read = read_evidence(content, ClassCounts(), samples=len(ids), outputs=10)
    assert read["class_counts"].sum() == len(side.data.client_train(0))
    assert payload_of(content) == evidence_bytes(ClassCounts().sends, len(ids), 10) == 40
    assert evidence_of(Uniform(), trained, ids, generator) == {}
    assert read_evidence(content, Uniform(), samples=len(ids), outputs=10) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (RecordDict(), "sent no 'class_counts'"),
        (RecordDict({"evidence": ArrayRecord()}), "sent no 'class_counts'"),
        (sent([1.0, 2.0]), r"shape \[2\], expected \[3\]"),
        (sent([1.0, 2.0, np.nan]), "not finite"),
    ],
)
def test_evidence_that_is_missing_or_of_another_form_is_refused(content: RecordDict, words: str) -> None:
    with pytest.raises(BadPackage, match=words):
        read_evidence(content, ClassCounts(), samples=5, outputs=3)


def test_shapes_are_by_form() -> None:
    assert evidence_bytes({"a": "number", "b": "classes", "c": "samples"}, 7, 3) == 4 * (1 + 3 + 7)
    assert torch.equal(
        read_evidence(sent([1, 2, 3]), ClassCounts(), samples=5, outputs=3)["class_counts"],
        torch.tensor([1.0, 2.0, 3.0]),
    )
