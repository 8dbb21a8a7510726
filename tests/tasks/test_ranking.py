import math

import numpy as np
import pytest
import torch
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score
from torch import Tensor

from fedkd.aggregation import FUSIONS
from fedkd.models._items import excluded
from fedkd.tasks import Ranking

TASK = Ranking()


def answers(users: int = 50, items: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(users, items, generator=generator)
    return scores, torch.randint(items, (users,), generator=generator)


def test_metrics_are_those_of_a_list_that_is_sorted_user_by_user() -> None:
    outputs, targets = answers()
    gains, hits, reciprocals = [], [], []
    for scores, target in zip(outputs.tolist(), targets.tolist(), strict=True):
        place = sorted(range(30), key=lambda item: -scores[item]).index(target) + 1
        hits.append(place <= 10)
        gains.append(1 / math.log2(place + 1) if place <= 10 else 0.0)
        reciprocals.append(1 / place)
    measured = TASK.metrics(outputs, targets)
    assert measured["hr_10"] == pytest.approx(np.mean(hits), abs=1e-12)
    assert measured["ndcg_10"] == pytest.approx(np.mean(gains), abs=1e-12)
    assert measured["mrr"] == pytest.approx(np.mean(reciprocals), abs=1e-12)


def test_metrics_agree_with_scikit_learn() -> None:
    outputs, targets = answers()
    right = torch.nn.functional.one_hot(targets, 30).numpy()
    measured = TASK.metrics(outputs, targets)
    assert measured["ndcg_10"] == pytest.approx(ndcg_score(right, outputs.numpy(), k=10), abs=1e-12)
    precision = label_ranking_average_precision_score(right, outputs.numpy())
    assert measured["mrr"] == pytest.approx(precision, abs=1e-12)


def test_many_networks_are_measured_as_each_alone() -> None:
    targets = answers()[1]
    outputs = torch.stack([answers(seed=seed)[0] for seed in range(4)])
    assert TASK.metrics_of_many(outputs, targets) == [TASK.metrics(one, targets) for one in outputs]


def test_who_scores_all_items_alike_is_credited_with_nothing() -> None:
    targets = answers()[1]
    measured = TASK.metrics(torch.zeros(50, 30), targets)
    assert (measured["hr_10"], measured["ndcg_10"]) == (0.0, 0.0)
    assert measured["mrr"] == pytest.approx(1 / 30)
    assert measured["loss"] == pytest.approx(math.log(30))


def test_a_network_that_is_not_finite_has_no_metrics_and_the_others_keep_theirs() -> None:
    outputs, targets = answers()
    bad = outputs.clone()
    bad[3, 7] = float("nan")
    first, second = TASK.metrics_of_many(torch.stack([bad, outputs]), targets)
    assert all(math.isnan(value) for value in first.values())
    assert second == TASK.metrics(outputs, targets)
    assert TASK.has_died(bad)


def test_chance_is_what_the_most_frequent_items_reach() -> None:
    targets = torch.tensor([4, 4, 4, 9, 9, 2])
    popular = torch.zeros(6, 30)
    popular[:, 4], popular[:, 9], popular[:, 2] = 3.0, 2.0, 1.0
    assert TASK.chance(targets) == pytest.approx(TASK.metrics(popular, targets)["ndcg_10"])


@pytest.mark.parametrize(
    "fusion",
    ["mean_logits", "mean_probabilities", "mean_log_probabilities", "median", "reciprocal_rank", "borda"],
)
def test_items_that_a_user_knows_come_last_in_what_teachers_say_together(fusion: str) -> None:
    known = torch.rand(50, 30, generator=torch.Generator().manual_seed(1)) < 0.4
    teachers = torch.stack([excluded(answers(seed=seed)[0], known) for seed in range(3)])
    weights = torch.tensor([0.5, 0.3, 0.2])[:, None].expand(3, 50)
    fused = FUSIONS.create(fusion, key="fusion").fuse(teachers, weights)
    for scores in (fused, TASK.combine(teachers, weights[:, 0])):
        lowest = scores.masked_fill(known, torch.inf).amin(dim=1)
        assert (scores.masked_fill(~known, -torch.inf).amax(dim=1) < lowest).all()
