"""A head is spoken of by those who learned it, whatever the fusion."""

from dataclasses import replace

import pytest
import torch

from fedkd.aggregation import FUSIONS
from fedkd.aggregation.evidence import by_row, evidence_bytes
from fedkd.aggregation.folding import Folding
from fedkd.aggregation.weightings.label_counts import LabelCounts
from fedkd.clients.supervised import Supervised
from fedkd.data.datasets.diamonds_grades import DiamondsGrades
from fedkd.data.federated import federate
from fedkd.data.partitions.shared import Shared
from fedkd.data.proxies.train import Train
from fedkd.engine.trained import Trained
from fedkd.foundation.seeding import Streams
from fedkd.testing.ground import client_side

SAMPLES, HEADS, CLASSES = 5, 3, 4


def said(teachers: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(teachers, SAMPLES, HEADS, CLASSES, generator=generator)


def folded(fusion: str, counts: list[list[float]], rows: dict[int, torch.Tensor] | None = None) -> Folding:
    folding = Folding(FUSIONS.create(fusion, key="fusion"), LabelCounts(), samples=SAMPLES)
    for client, (outputs, own) in enumerate(zip(said(len(counts)), counts, strict=True)):
        about = (rows or {}).get(client)
        answer = outputs if about is None else outputs[about]
        folding.add(client, answer, size=9, rows=about, sent={"label_counts": torch.tensor(own)})
    return folding


@pytest.mark.parametrize("fusion", ["mean_probabilities", "mean_logits", "median", "era"])
def test_each_head_of_the_target_is_that_of_its_specialist(fusion: str) -> None:
    fused = folded(fusion, [[9.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 5.0]]).result()
    alone = torch.stack([said()[head, :, head] for head in range(HEADS)], dim=1)
    fusion_alone = FUSIONS.create(fusion, key="fusion")
    expected = fusion_alone.fuse(alone.flatten(0, 1)[None], torch.ones(1, SAMPLES * HEADS))
    torch.testing.assert_close(
        fused.scores.softmax(dim=-1), expected.view_as(alone).softmax(dim=-1), rtol=1e-4, atol=1e-5
    )
    assert fused.weights == pytest.approx(dict.fromkeys(range(3), 1 / 3), rel=1e-6)


def test_teachers_of_one_task_share_it_by_their_labels_and_a_task_of_nobody_is_shared_alike() -> None:
    fused = folded("mean_logits", [[6.0, 0.0, 0.0], [2.0, 5.0, 0.0]]).result()
    own = said(2)
    torch.testing.assert_close(fused.scores[:, 0], 0.75 * own[0, :, 0] + 0.25 * own[1, :, 0])
    torch.testing.assert_close(fused.scores[:, 1], own[1, :, 1])
    torch.testing.assert_close(fused.scores[:, 2], own[:, :, 2].mean(dim=0))


@pytest.mark.parametrize("fusion", ["mean_logits", "median"])
def test_who_speaks_about_some_samples_counts_there(fusion: str) -> None:
    own, some = said(2), torch.tensor([4, 1])
    fused = folded(fusion, [[3.0, 1.0, 0.0], [0.0, 1.0, 2.0]], {0: some}).result()
    scores = fused.scores - fused.scores.mean(dim=-1, keepdim=True)
    expected = own - own.mean(dim=-1, keepdim=True)
    torch.testing.assert_close(scores[some, 0], expected[0, some, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        scores[0, 0], expected[1, 0, 0], rtol=1e-4, atol=1e-4
    )  # the only one who spoke
    torch.testing.assert_close(scores[:, 2], expected[1, :, 2], rtol=1e-4, atol=1e-4)


def test_clients_count_the_labels_that_they_have_of_each_head() -> None:
    data = federate(
        DiamondsGrades(samples=40), Shared(heads=((0,), (1, 2)), share=0.5), Train(), 2, Streams(0)
    )
    side = client_side(Supervised(), data)
    for client, expected in enumerate(([20.0, 0.0, 0.0], [0.0, 20.0, 20.0])):
        network = side.network(client)
        trained = Trained.of(side, client, network, network.state_dict())
        counts = LabelCounts().testify(trained, data.proxy.ids, Streams(0).torch("evidence"))  # type: ignore[union-attr]
        assert counts["label_counts"].tolist() == expected
    empty = replace(data, assignments=[[], []])
    trained = Trained.of(client_side(Supervised(), empty), 0, network, network.state_dict())
    counts = LabelCounts().testify(trained, data.proxy.ids, Streams(0).torch("evidence"))  # type: ignore[union-attr]
    assert counts["label_counts"].tolist() == [0.0, 0.0, 0.0]


def test_what_is_about_samples_or_their_answers_is_laid_out_row_by_row() -> None:
    sent = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0, 5.0]), "c": torch.tensor(6.0)}
    laid = by_row(sent, {"a": "samples", "b": "answers", "c": "number"}, samples=2, answers=3)
    assert laid["a"].tolist() == [1, 1, 1, 2, 2, 2]
    assert laid["b"].tolist() == [3, 4, 5, 3, 4, 5]
    assert laid["c"].tolist() == 6
    assert evidence_bytes({"b": "answers"}, 2, 9, answers=3) == 12
