import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.aggregation.folding import Folding
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.fusions.union import Union
from fedkd.aggregation.weightings.class_counts import ClassCounts

LOGITS = torch.tensor(
    [[[2.0, -1.0, -9.0, -9.0]], [[-9.0, -9.0, 0.5, 1.5]]], dtype=torch.float64
)  # two teachers, one sample; each knows two of four classes
KNOWN = torch.tensor([[True, True, False, False], [False, False, True, True]])
HALF = torch.full((2, 1), 0.5, dtype=torch.float64)


def probabilities(scores: Tensor) -> Tensor:
    return F.softmax(scores, dim=-1)


def test_disjoint_specialists_are_put_side_by_side_whatever_they_weigh() -> None:
    wanted = probabilities(torch.tensor([[2.0, -1.0, 0.5, 1.5]], dtype=torch.float64))
    for first in (0.5, 0.01):
        weights = torch.tensor([[first], [1 - first]], dtype=torch.float64)
        found = probabilities(Union().fuse_known(LOGITS, weights, KNOWN))
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_what_a_teacher_says_of_a_class_that_it_never_saw_changes_nothing() -> None:
    others = torch.where(KNOWN[:, None], LOGITS, 1e4 * torch.randn(2, 1, 4, dtype=torch.float64))
    for fusion in (Union(), Union(centred=True)):
        assert torch.equal(fusion.fuse_known(LOGITS, HALF, KNOWN), fusion.fuse_known(others, HALF, KNOWN))


def test_a_class_that_several_know_is_their_weighted_mean() -> None:
    known = torch.tensor([[True, True, False, True], [False, True, True, True]])
    weights = torch.tensor([[0.25], [0.75]], dtype=torch.float64)
    found = Union().fuse_known(LOGITS, weights, known)
    scores = torch.tensor([[2.0, -0.25 - 6.75, 0.5, -2.25 + 1.125]], dtype=torch.float64)
    torch.testing.assert_close(found, F.log_softmax(scores, dim=-1), rtol=1e-10, atol=1e-12)


def test_teachers_that_know_everything_give_the_mean_of_logits() -> None:
    everything = torch.ones(2, 4, dtype=torch.bool)
    found = probabilities(Union().fuse_known(LOGITS, HALF, everything))
    torch.testing.assert_close(found, probabilities(MeanLogits().fuse(LOGITS, HALF)), rtol=1e-10, atol=1e-12)


def test_centred_logits_do_not_depend_on_the_height_of_a_teacher() -> None:
    raised = LOGITS + torch.tensor([100.0, 0.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(
        Union(centred=True).fuse_known(raised, HALF, KNOWN),
        Union(centred=True).fuse_known(LOGITS, HALF, KNOWN),
        rtol=1e-8,
        atol=1e-8,
    )


def test_a_class_that_nobody_saw_has_no_probability_and_all_stays_finite() -> None:
    known = torch.tensor([[True, False, False, False], [False, False, True, False]])
    for scale in (1.0, 1e4):
        found = Union().fuse_known(scale * LOGITS, HALF, known)
        assert found.isfinite().all()
        assert probabilities(found)[0, [1, 3]].max() < 1e-300
    nobody = Union().fuse_known(LOGITS, HALF, torch.zeros(2, 4, dtype=torch.bool))
    torch.testing.assert_close(probabilities(nobody), torch.full((1, 4), 0.25, dtype=torch.float64))


def test_counts_that_clients_send_are_the_masks() -> None:
    folding = Folding(Union(), ClassCounts(by="teachers"), samples=1)
    for client, (said, known) in enumerate(zip(LOGITS, KNOWN, strict=True)):
        folding.add(client, said, size=10, sent={"class_counts": 5.0 * known})
    wanted = probabilities(torch.tensor([[2.0, -1.0, 0.5, 1.5]]))
    torch.testing.assert_close(probabilities(folding.result().scores), wanted, rtol=1e-5, atol=1e-6)
