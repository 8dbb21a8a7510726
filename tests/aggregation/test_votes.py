"""Votes, with and without noise, and votes on which samples are alike."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.aggregation.folding import Folding
from fedkd.aggregation.fusions.majority_vote import MajorityVote
from fedkd.aggregation.fusions.mean_log_probabilities import MeanLogProbabilities
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.fusions.noisy_vote import NoisyVote
from fedkd.aggregation.fusions.voted_triplets import VotedTriplets, others, votes
from fedkd.aggregation.privacy import gnmax_epsilon
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.foundation.seeding import Streams


def naming(*classes: list[int], count: int = 4) -> Tensor:
    """Teachers that each name a class for each sample."""
    return 3.0 * F.one_hot(torch.tensor(classes), count).float()


def alike(teachers: int, n: int) -> Tensor:
    return torch.full((teachers, n), 1.0 / teachers)


def test_the_mean_of_log_probabilities_says_what_the_mean_of_logits_says_as_probabilities() -> None:
    said = 5.0 * torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifted = said + torch.arange(4)[:, None, None]
    for outputs in (said, shifted):
        first, second = (
            F.log_softmax(fusion.fuse(outputs, alike(4, 6).double()), dim=-1)
            for fusion in (MeanLogProbabilities(), MeanLogits())
        )
        assert torch.allclose(first, second)
    fused = MeanLogProbabilities().fuse(said, alike(4, 6).double())
    assert torch.allclose(fused, MeanLogProbabilities().fuse(shifted, alike(4, 6).double()))


def test_most_votes_win_by_weight_and_a_tie_goes_to_the_first_class() -> None:
    said = naming([0, 2], [1, 2], [1, 0])
    fused = MajorityVote().fuse(said, alike(3, 2))
    assert F.softmax(fused, dim=-1).tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    heavy = torch.tensor([[0.6, 0.2], [0.2, 0.2], [0.2, 0.6]])
    assert MajorityVote().fuse(said, heavy).argmax(dim=-1).tolist() == [0, 0]
    three = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None]  # 0.1 + 0.2 against 0.3 is a tie but for rounding
    assert MajorityVote().fuse(naming([1], [1], [0], [2]), three).argmax(dim=-1).tolist() == [2]
    tied = torch.tensor([0.15, 0.15, 0.3, 0.4])[:, None]
    assert MajorityVote().fuse(naming([2], [2], [1], [3]), tied[[0, 1, 2, 3]] * 1.0).argmax(-1).tolist() == [
        3
    ]
    halves = naming([2], [2], [1], [1])
    assert MajorityVote().fuse(halves, torch.tensor([[0.1], [0.4], [0.2], [0.3]])).argmax(-1).tolist() == [1]


def test_soft_votes_are_the_shares_of_the_votes() -> None:
    fused = MajorityVote(hard=False).fuse(naming([0], [1], [1], [3]), alike(4, 1))
    assert torch.allclose(F.softmax(fused, dim=-1), torch.tensor([[0.25, 0.5, 0.0, 0.25]]))


def test_a_noisy_vote_without_noise_is_the_majority_vote() -> None:
    said = torch.randn(9, 40, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(NoisyVote(sigma=0.0).fuse(said, alike(9, 40)), MajorityVote().fuse(said, alike(9, 40)))


def test_noise_changes_a_vote_as_often_as_it_must() -> None:
    n, sigma, gap = 4000, 2.0, 3
    said = naming(*[[0] * n] * 6, *[[1] * n] * 3, count=2)
    chosen = NoisyVote(sigma=sigma).draw(said, alike(9, n), Streams(1).torch("fusion")).argmax(dim=-1)
    expected = 0.5 * math.erfc(gap / (2 * sigma))  # the difference of two noises has deviation sigma sqrt(2)
    assert float(chosen.float().mean()) == pytest.approx(expected, abs=0.02)


def test_a_round_hands_a_noisy_vote_its_own_stream_and_the_absent_do_not_vote() -> None:
    said = torch.randn(5, 60, 4, generator=torch.Generator().manual_seed(0))

    def round_of(number: int) -> Tensor:
        folding = Folding(NoisyVote(sigma=3.0), Uniform(), samples=60)
        for client, outputs in enumerate(said):
            folding.add(client, outputs, size=1)
        return folding.result(generator=Streams(0).torch("fusion", round=number)).scores

    assert torch.equal(round_of(1), round_of(1))
    assert not torch.equal(round_of(1), round_of(2))
    folding = Folding(NoisyVote(sigma=0.0), Uniform(), samples=2)
    folding.add(0, naming([3])[0], size=1, rows=torch.tensor([1]))
    folding.add(1, naming([2, 1])[0], size=1)
    folding.add(2, naming([2, 3])[0], size=1)
    assert folding.result().scores.argmax(dim=-1).tolist() == [2, 3]


def test_epsilon_is_the_least_over_all_orders_of_the_published_bound() -> None:
    for sigma, queries, delta in ((40.0, 286, 1e-5), (100.0, 1000, 1e-8), (2.0, 10, 1e-6)):
        orders = [1.0 + 10 ** (step / 4000) for step in range(-20000, 20000)]
        least = min(queries * a / sigma**2 + math.log(1 / delta) / (a - 1) for a in orders)
        assert gnmax_epsilon(sigma=sigma, queries=queries, delta=delta) == pytest.approx(least, rel=1e-6)


def test_the_bound_of_one_vote_covers_the_divergence_that_there_is() -> None:
    # Two classes: the chance of each answer is known, for 6 : 3 votes and for the neighbour with 5 : 4.
    for sigma in (0.8, 2.0, 6.0):
        first, second = (0.5 * math.erfc(gap / (2 * sigma)) for gap in (3, 1))
        for order in (1.5, 2.0, 8.0, 32.0):
            pairs = ((first, second), (1 - first, 1 - second))
            for p, q in (pairs, [(b, a) for a, b in pairs]):
                divergence = math.log(
                    p[0] ** order * p[1] ** (1 - order) + q[0] ** order * q[1] ** (1 - order)
                ) / (order - 1)
                assert divergence <= order / sigma**2


def test_nothing_asked_costs_nothing_and_no_noise_protects_nothing() -> None:
    assert gnmax_epsilon(sigma=1.0, queries=0, delta=1e-5) == 0.0
    assert gnmax_epsilon(sigma=0.0, queries=1, delta=1e-5) == math.inf


def test_every_sample_is_compared_with_others() -> None:
    drawn = others(50, Streams(0).torch("fusion"))
    assert (drawn != torch.arange(50)).all()
    assert drawn.min() >= 0
    assert drawn.max() < 50
    assert len(drawn.unique()) > 20
    assert others(1, Streams(0).torch("fusion")).tolist() == [0]


def test_most_of_the_weight_decides_which_sample_is_nearer() -> None:
    # Samples 0 and 1 are alike to the first two teachers, samples 0 and 2 to the third.
    said = 9.0 * F.one_hot(torch.tensor([[0, 0, 1], [2, 2, 0], [1, 0, 1]]), 3).float()
    first, second = torch.tensor([1, 0, 0]), torch.tensor([2, 2, 1])
    assert float(votes(said, alike(3, 3), first, second)[0]) == pytest.approx(1 / 3)
    heavy = torch.tensor([0.1, 0.2, 0.7])[:, None].expand(3, 3)
    assert float(votes(said, heavy, first, second)[0]) == pytest.approx(-0.4)
    silent = alike(3, 3).clone()
    silent[2, 2] = 0.0  # who has not spoken about all three does not vote
    assert float(votes(said, silent, first, second)[0]) == pytest.approx(2 / 3)


def test_relations_put_the_nearer_sample_first_and_the_target_is_the_mean() -> None:
    said = torch.randn(4, 30, 5, generator=torch.Generator().manual_seed(0))
    fusion, shares = VotedTriplets(), alike(4, 30)
    relations = fusion.relations(said, shares, Streams(0).torch("fusion"))
    assert (votes(said, shares, relations.nearer, relations.farther) >= 0).all()
    assert (votes(said, shares, relations.farther, relations.nearer) < 0).any()
    assert torch.allclose(fusion.fuse(said, shares), MeanProbabilities().fuse(said, shares), atol=1e-6)
    assert MeanProbabilities().relations(said, shares, Streams(0).torch("fusion")) is None
