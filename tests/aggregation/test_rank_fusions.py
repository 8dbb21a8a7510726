import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from fedkd.aggregation.fusions._ranks import RankFusion, places
from fedkd.aggregation.fusions.borda import Borda
from fedkd.aggregation.fusions.reciprocal_rank import ReciprocalRank

FUSIONS = [ReciprocalRank(), ReciprocalRank(constant=0.0, sharpness=3.0), Borda(), Borda(sharpness=4.0)]
every_fusion = pytest.mark.parametrize("fusion", FUSIONS, ids=repr)


def teachers() -> tuple[Tensor, Tensor]:
    outputs = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return outputs, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)[:, None].expand(3, 8)


def test_places_are_ranks_from_the_highest_score_down_and_ties_share_theirs() -> None:
    scores = torch.randint(6, (10, 15), generator=torch.Generator().manual_seed(0)).double()
    assert places(scores).tolist() == rankdata(-scores.numpy(), axis=1, method="average").tolist()


def test_points_by_hand() -> None:
    outputs = torch.tensor([[[3.0, 2.0, 1.0]], [[0.0, 5.0, 4.0]]], dtype=torch.float64)
    weights = torch.tensor([[0.75], [0.25]], dtype=torch.float64)
    # places: 1, 2, 3 of the first teacher, 3, 1, 2 of the second
    reciprocal = torch.tensor(
        [0.75 / 61 + 0.25 / 63, 0.75 / 62 + 0.25 / 61, 0.75 / 63 + 0.25 / 62], dtype=torch.float64
    )
    said = ReciprocalRank().fuse(outputs, weights).softmax(dim=-1)[0]
    assert torch.allclose(said, reciprocal / reciprocal.sum(), atol=1e-12)
    points = torch.tensor([0.75 * 2, 0.75 + 0.25 * 2, 0.25], dtype=torch.float64)
    assert torch.allclose(
        Borda().fuse(outputs, weights).softmax(dim=-1)[0], points / points.sum(), atol=1e-12
    )
    squared = points.square() / points.square().sum()
    assert torch.allclose(Borda(sharpness=2.0).fuse(outputs, weights).softmax(dim=-1)[0], squared, atol=1e-12)


@every_fusion
def test_only_the_order_of_a_teachers_scores_counts(fusion: RankFusion) -> None:
    outputs, weights = teachers()
    changed = torch.stack([outputs[0].exp(), 1e3 * outputs[1], outputs[2] - 7.0])
    assert torch.equal(fusion.fuse(outputs, weights), fusion.fuse(changed, weights))


def test_sharpness_changes_the_target_and_no_ranking() -> None:
    outputs, weights = teachers()
    plain, sharp = (ReciprocalRank(sharpness=power).fuse(outputs, weights) for power in (1.0, 20.0))
    assert torch.equal(plain.argsort(dim=-1), sharp.argsort(dim=-1))
    assert (sharp.amax(dim=-1) > plain.amax(dim=-1)).all()


def test_an_item_that_one_teacher_loves_is_first_by_reciprocal_places_and_not_by_borda() -> None:
    # five items; item 0 is first for one teacher and last for two, item 1 is second for all
    first = [5.0, 4.0, 1.0, 2.0, 3.0]
    others = [[1.0, 4.0, 5.0, 2.0, 3.0], [1.0, 4.0, 2.0, 5.0, 3.0]]
    outputs = torch.tensor([first, *others], dtype=torch.float64)[:, None]
    weights = torch.full((3, 1), 1 / 3, dtype=torch.float64)
    assert int(Borda().fuse(outputs, weights).argmax()) == 1
    weights = torch.tensor([[0.5], [0.25], [0.25]], dtype=torch.float64)
    assert int(ReciprocalRank(constant=0.0).fuse(outputs, weights).argmax()) == 0
    assert int(Borda().fuse(outputs, weights).argmax()) == 1
