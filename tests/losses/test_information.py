import math

import pytest
import torch

from fedkd.losses import crd, info_nce, mimkd, vid
from fedkd.losses.information import log_z, scores


def test_vid_bounds_the_mutual_information_of_a_gaussian_pair_from_below() -> None:
    """Correlation .8 has -1/2 log(1 - .64) = .5108 nats; the best linear regressor comes near them, a worse one stays below."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    teacher = 0.8 * student + 0.6 * noise
    entropy, true = 0.5 * (1 + math.log(2 * math.pi)), -0.5 * math.log(1 - 0.64)

    def bound(slope: float, variance: float) -> float:
        nats = vid(slope * student, teacher, torch.tensor([variance], dtype=torch.float64))
        return entropy - 0.5 * math.log(2 * math.pi) - float(nats)

    assert bound(0.8, 0.36) == pytest.approx(true, abs=0.01)
    for slope, variance in ((0.5, 0.36), (0.8, 1.0), (0.0, 1.0), (0.8, 0.2)):
        assert bound(slope, variance) < true - 0.01


def test_vid_has_one_variance_for_each_channel() -> None:
    mean, teacher = torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)
    value = vid(mean, teacher, torch.tensor([1.0, 4.0]))
    assert float(value) == pytest.approx(0.5 * (1 + 0 + 1 / 4 + math.log(4)) / 2)


def test_crd_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    memories = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[0.6, 0.8], [1.0, 0.0]]])
    z = torch.tensor(math.log(3.0))
    share = 1 / 10

    def side(own: float, other: float) -> float:
        p = [math.exp(x / 0.5) / 3 for x in (own, other)]
        return -math.log(p[0] / (p[0] + share + 1e-7)) - math.log(share / (p[1] + share + 1e-7))

    value = crd(student, teacher, *memories, samples=10, student_log_z=z, teacher_log_z=z, temperature=0.5)
    assert float(value) == pytest.approx(side(0.0, 1.0) + side(0.6, 1.0), rel=1e-5)


def test_z_is_the_mean_of_the_exponentials_times_the_number_of_samples() -> None:
    memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    said = scores(memory, torch.tensor([[1.0, 2.0]]), 1.0)
    assert said.tolist() == [[1.0, 2.0, 0.0]]
    mean = (math.exp(1) + math.exp(2) + 1) / 3
    assert float(log_z(said, 50)) == pytest.approx(math.log(50 * mean))


def test_mimkd_by_hand() -> None:
    scores = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 0.0, -0.5]], dtype=torch.float64)

    def softplus(x: float) -> float:
        return math.log(1 + math.exp(x))

    values = [
        softplus(-1.0) + (softplus(-2.0) + softplus(0.5)) / 2,
        softplus(-3.0) + (softplus(0.0) + softplus(-1.0)) / 2,
        softplus(0.5) + (softplus(2.0) + softplus(0.0)) / 2,
    ]
    assert mimkd(scores, reduction="none").tolist() == pytest.approx(values, abs=1e-12)
    # Places of a map are alike.
    places = torch.stack((scores, scores.T), dim=2)
    both = (mimkd(scores) + mimkd(scores.T)) / 2
    assert float(mimkd(places)) == pytest.approx(float(both), abs=1e-12)
    assert float(mimkd(places[..., None])) == pytest.approx(float(both), abs=1e-12)


def test_a_critic_that_says_the_same_of_all_pairs_bounds_by_two_log_two_at_best() -> None:
    values = {said: -float(mimkd(torch.full((5, 5), said))) for said in (-3.0, -0.1, 0.0, 0.1, 3.0)}
    assert values[0.0] == pytest.approx(-2 * math.log(2))
    assert all(value < values[0.0] for said, value in values.items() if said)


def test_mimkd_of_no_pair_of_two_samples_is_nothing_and_extreme_scores_stay_finite() -> None:
    for few in (0, 1):
        scores = torch.randn(few, few, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        value = mimkd(scores)
        value.backward()  # type: ignore[no-untyped-call]
        assert value == 0
        assert scores.grad is not None
        assert not scores.grad.any()
    extreme = torch.full((2, 2), 1e30).requires_grad_()
    value = mimkd(extreme)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(1e30)
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_info_nce_is_minus_the_logarithm_of_the_own_share() -> None:
    student = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    each = info_nce(student, teacher, temperature=0.5, reduction="none")
    first = math.log(math.exp(1.0 / 0.5) + math.exp(0.6 / 0.5)) - 1.0 / 0.5
    second = math.log(math.exp(0.0) + math.exp(0.8 / 0.5)) - 0.8 / 0.5
    assert each.tolist() == pytest.approx([first, second], abs=1e-12)


def test_info_nce_is_least_where_each_sample_stands_by_its_own() -> None:
    teacher = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    least = info_nce(teacher, teacher)
    assert least < math.log(6) < info_nce(teacher.roll(1, dims=0), teacher)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(info_nce(teacher[order], teacher[order]), least)
    nothing = torch.zeros_like(teacher)
    assert float(info_nce(nothing, nothing)) == pytest.approx(math.log(6))


def test_info_nce_tells_no_samples_of_one_label_apart() -> None:
    drawn = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 4, generator=drawn, dtype=torch.float64) for _ in range(2))
    each = info_nce(student, teacher, torch.tensor([5, 7, 5]), reduction="none")
    pairs = [info_nce(student[[i, 1]], teacher[[i, 1]], reduction="none")[0] for i in (0, 2)]
    whole = info_nce(student, teacher, reduction="none")
    assert each.tolist() == pytest.approx([float(pairs[0]), float(whole[1]), float(pairs[1])])
    assert info_nce(student, teacher, torch.zeros(3, dtype=torch.int64)) == 0
