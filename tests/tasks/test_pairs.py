import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import metrics
from torch import Tensor

from fedkd.tasks._pairs import nearest_others, neighbourhoods, rank_one, rounded_cosines, verification


def pairs(similar: Tensor, who: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the similarity of every pair and whether it is of one person, pair by pair."""
    at = [(i, j) for i in range(len(who)) for j in range(i + 1, len(who))]
    return np.array([float(similar[i, j]) for i, j in at]), np.array([bool(who[i] == who[j]) for i, j in at])


def by_scikit_learn(similar: Tensor, who: Tensor, far: float) -> list[float]:
    scores, right = pairs(similar, who)
    wrong, tar, _ = metrics.roc_curve(right, scores, drop_intermediate=False)
    equal = brentq(lambda at: 1.0 - at - interp1d(wrong, tar)(at), 0.0, 1.0)
    return [metrics.roc_auc_score(right, scores), equal, tar[wrong <= far].max()]


def by_hand(similar: Tensor, who: Tensor) -> list[float]:
    """Return the same by counting: pairs in the right order, every threshold, the line between the two around equal errors."""
    scores, right = pairs(similar, who)
    good, bad = scores[right], scores[~right]
    order = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    points = [(1.0, 0.0)]  # turned away of the right pairs, accepted of the wrong ones
    points += [
        (float((good < at).mean()), float((bad >= at).mean())) for at in sorted(set(scores), reverse=True)
    ]
    for (miss_before, wrong_before), (miss, wrong) in itertools.pairwise(points):
        if wrong >= miss:
            share = (miss_before - wrong_before) / ((miss_before - wrong_before) - (miss - wrong))
            equal = wrong_before + share * (wrong - wrong_before)
            break
    return [sum(order) / len(order), equal, max(1.0 - miss for miss, wrong in points if wrong <= 0.1)]


def rank_one_by_hand(similar: Tensor, who: Tensor) -> float:
    found = []
    for probe in range(len(who)):
        gallery = [other for other in range(len(who)) if other != probe]
        if not any(who[other] == who[probe] for other in gallery):
            continue
        best = max(float(similar[probe, other]) for other in gallery)
        near = [other for other in gallery if float(similar[probe, other]) == best]
        found.append(sum(bool(who[other] == who[probe]) for other in near) / len(near))
    return sum(found) / len(found)


@given(
    seed=st.integers(0, 999),
    clients=st.integers(1, 3),
    n=st.integers(3, 14),
    people=st.integers(2, 4),
    values=st.sampled_from([2, 3, 1000]),
)
def test_metrics_of_many_are_those_of_scikit_learn_and_of_counting_ties_included(
    seed: int, clients: int, n: int, people: int, values: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # few values on few axes: many pairs are equally alike
    embeddings = torch.randint(1, values + 1, (clients, n, 2), generator=generator).float()
    who = torch.cat([torch.tensor([0, 0, 1]), torch.randint(people, (n - 3,), generator=generator)])
    similar = rounded_cosines(embeddings)
    measured = verification(similar, who, far=0.1)
    for each, values_of, first in zip(
        similar, measured.tolist(), rank_one(similar, who).tolist(), strict=True
    ):
        assert values_of == pytest.approx(by_scikit_learn(each, who, 0.1), abs=1e-9)
        assert values_of == pytest.approx(by_hand(each, who), abs=1e-12)
        assert first == pytest.approx(rank_one_by_hand(each, who), abs=1e-12)


def test_how_many_networks_are_measured_changes_no_bit() -> None:
    embeddings = torch.randn(4, 40, 9, generator=torch.Generator().manual_seed(0))
    who = torch.arange(40) % 7
    together = rounded_cosines(embeddings)
    alone = torch.cat([rounded_cosines(one[None]) for one in embeddings])
    assert torch.equal(together, alone)
    each = [verification(one[None], who, far=0.01) for one in together]
    assert torch.equal(verification(together, who, far=0.01), torch.cat(each))


def test_embeddings_that_tell_everybody_apart_make_no_error_and_equal_ones_are_chance() -> None:
    who = torch.tensor([0, 0, 1, 1, 2])
    similar = rounded_cosines(torch.stack([torch.eye(3)[who], torch.full((5, 3), 0.3)]))
    assert verification(similar, who, far=0.01).tolist() == [[1.0, 0.0, 1.0], [0.5, 0.5, 0.0]]
    # the nearest are all others: of the first four, one of four is the right one
    assert rank_one(similar, who).tolist() == [1.0, 0.25]


@pytest.mark.parametrize("who", [[0, 0, 0], [0, 1, 2], [4], [0, 1]])
def test_one_person_alone_or_nobody_twice_gives_nan(who: list[int]) -> None:
    similar = rounded_cosines(torch.randn(2, len(who), 3))
    assert verification(similar, torch.tensor(who), far=0.1).isnan().all()
    assert rank_one(similar, torch.tensor(who)).isnan().all()


def test_the_nearest_others_are_never_oneself() -> None:
    similar = torch.tensor([[[1.0, 0.2, 0.2], [0.2, 1.0, 0.1], [0.2, 0.1, 1.0]]])
    assert nearest_others(similar)[0].tolist() == [
        [False, True, True],
        [True, False, False],
        [True, False, False],
    ]


def test_pseudo_identities_are_chains_of_nearest_samples() -> None:
    # on a circle: 0, 1 and 5 degrees are a chain, 90 and 92 another, 180 is nearest to 92
    degrees = torch.tensor([0.0, 90.0, 1.0, 92.0, 5.0])
    angles = degrees * math.pi / 180
    similar = rounded_cosines(torch.stack([angles.cos(), angles.sin()], dim=1)[None])[0]
    assert neighbourhoods(similar).tolist() == [0, 1, 0, 1, 0]
    assert neighbourhoods(similar[:1, :1]).tolist() == [0]
