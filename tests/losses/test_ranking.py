import itertools
import math

import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.losses import cd, cd_items, rd, rrd, rrd_items


def scores(users: int = 3, items: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(users, items, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rd_by_hand() -> None:
    student, teacher = torch.tensor([[0.0, 2.0, 1.0, -1.0]]), torch.tensor([[9.0, 7.0, 8.0, 6.0]])
    # The teacher's first two are items 0 and 2, which the student has at places 2 and 1.
    places = [1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))]
    costs = [math.log1p(math.exp(-0.0)), math.log1p(math.exp(-1.0))]
    static = sum(w * c for w, c in zip(places, costs, strict=True))
    assert float(rd(student, teacher, top=2, discrepancy=None)) == pytest.approx(static)
    ranked = places[0] * math.tanh(0.1 * 2) * costs[0] + places[1] * 0.0 * costs[1]
    assert float(rd(student, teacher, top=2)) == pytest.approx(ranked)


def test_rd_leaves_items_alone_that_the_student_ranks_high_enough() -> None:
    teacher = scores()
    assert rd(3 * teacher, teacher, top=5) == 0
    assert rd(3 * teacher, teacher, top=5, discrepancy=None) > 0


def test_rd_of_more_places_than_items_takes_all_items() -> None:
    student, teacher = scores(), scores(seed=1)
    assert torch.allclose(rd(student, teacher, top=100), rd(student, teacher, top=12))


def test_rd_of_no_place_is_refused() -> None:
    with pytest.raises(InvalidOption, match="top: got 0, allowed is 1 item or more"):
        rd(torch.rand(4, 12), torch.rand(4, 12), top=0)


def test_rd_sees_only_the_order_of_the_teachers_scores() -> None:
    student, teacher = scores(), scores(seed=1)
    assert torch.equal(rd(student, teacher), rd(student, teacher.exp()))


def test_rrd_is_the_likelihood_of_the_ranking_with_the_rest_in_any_order() -> None:
    """The probability that items are drawn in this order, before any of the others (Plackett-Luce)."""
    s, u = [0.3, -1.0], [0.5, 2.0]
    total = 0.0
    items = [*s, *u]
    for order in itertools.permutations(range(4)):
        if order[:2] == (0, 1):
            chance = 1.0
            for place, item in enumerate(order):
                chance *= math.exp(items[item]) / sum(math.exp(items[later]) for later in order[place:])
            total += chance
    value = rrd(torch.tensor([s], dtype=torch.float64), torch.tensor([u], dtype=torch.float64))
    assert float(value) == pytest.approx(-math.log(total))


def test_items_come_in_the_teachers_order_and_the_uninteresting_below_them() -> None:
    teacher = scores(users=200, items=30)
    generator = torch.Generator().manual_seed(1)
    high, low = rrd_items(teacher, interesting=4, uninteresting=6, temperature=3.0, generator=generator)
    place = teacher.argsort(dim=1, descending=True).argsort(dim=1)
    high, low = place.gather(1, high), place.gather(1, low)
    assert (high.diff(dim=1) > 0).all()
    assert (low.min(dim=1).values > high.max(dim=1).values).all()
    assert all(len(set(row)) == 6 for row in low.tolist())
    # The first place is drawn far more often than the tenth.
    counts = torch.bincount(high.flatten(), minlength=30)
    assert counts[0] > 3 * counts[9] > 0


def test_the_generator_decides_which_items_are_drawn() -> None:
    teacher = scores()
    first, again, other = (
        rrd_items(teacher, interesting=3, uninteresting=4, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not (torch.equal(first[0], other[0]) and torch.equal(first[1], other[1]))


def test_more_items_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(InvalidOption, match="with uninteresting=10, at most all 12 items"):
        rrd_items(scores(), interesting=3, uninteresting=10, generator=torch.Generator())


def test_cd_by_hand() -> None:
    student = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    teacher = torch.tensor([[3.0, -1.0]], dtype=torch.float64)
    targets = [1 / (1 + math.exp(-(score - 1.0) / 2.0)) for score in (3.0, -1.0)]
    costs = [
        -(q * math.log(1 / (1 + math.exp(-s))) + (1 - q) * math.log(1 - 1 / (1 + math.exp(-s))))
        for q, s in zip(targets, (0.0, 2.0), strict=True)
    ]
    assert float(cd(student, teacher, temperature=2.0, bias=-1.0)) == pytest.approx(sum(costs))


def test_cd_pulls_at_no_student_that_says_what_the_softened_teacher_says() -> None:
    teacher = scores()
    student = ((teacher + 0.7) / 3.0).requires_grad_()
    [gradient] = torch.autograd.grad(cd(student, teacher, temperature=3.0, bias=0.7), student)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-15)
    above = (student.detach() + 0.1).requires_grad_()
    [gradient] = torch.autograd.grad(cd(above, teacher, temperature=3.0, bias=0.7), above)
    assert (gradient > 0).all()


def test_cd_draws_items_as_often_as_their_rank_says() -> None:
    users, items, decay = 20000, 6, 2.0
    ranked = torch.tensor([[0.1, 5.0, 3.0, -2.0, 4.0, 1.0]]).expand(users, items)
    drawn = cd_items(ranked, count=1, decay=decay, generator=torch.Generator().manual_seed(0))
    often = torch.bincount(drawn.flatten(), minlength=items).double() / users
    weights = torch.exp(-torch.arange(items, dtype=torch.float64) / decay)
    expected = torch.empty(items, dtype=torch.float64)
    expected[torch.tensor([1, 4, 2, 5, 0, 3])] = weights / weights.sum()
    assert (often - expected).abs().max() < 4 * (0.25 / users) ** 0.5  # four standard deviations at the most


def test_cd_draws_no_item_twice_and_can_draw_them_all() -> None:
    ranked = scores(users=50)
    drawn = cd_items(ranked, count=5, decay=3.0, generator=torch.Generator().manual_seed(1))
    assert all(len(set(row)) == 5 for row in drawn.tolist())
    assert (ranked.gather(1, drawn).diff(dim=1) < 0).all()  # those of higher rank first
    everything = cd_items(ranked, count=12, decay=3.0, generator=torch.Generator())
    assert torch.equal(everything, ranked.argsort(dim=1, descending=True))
    with pytest.raises(InvalidOption, match="at most all 12 items"):
        cd_items(ranked, count=13, decay=3.0, generator=torch.Generator())
