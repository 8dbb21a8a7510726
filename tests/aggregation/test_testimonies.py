"""What clients say beside their answers, so that a server can weigh them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedkd.aggregation.weightings.accuracy import Accuracy
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.class_counts import ClassCounts
from fedkd.aggregation.weightings.domain_classifier import DomainClassifier
from fedkd.aggregation.weightings.similarity import Similarity, squared_mmd
from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.data.samples import Samples
from fedkd.engine import ClientSide
from fedkd.engine.trained import Trained
from fedkd.foundation.seeding import Streams

Testify = Callable[[Weighting, Tensor, Tensor], dict[str, Tensor]]


@pytest.fixture
def testimony(client_side: Callable[..., ClientSide], digits: FederatedData) -> Testify:
    """Return what a client with these samples says before a proxy set of those."""

    def say(weighting: Weighting, own: Tensor, public: Tensor) -> dict[str, Tensor]:
        data = replace(
            digits,
            train=samples_of(own),
            proxy=samples_of(public),
            assignments=(np.arange(len(own)),),
            holdouts=(np.arange(0),),
        )
        side = client_side(Supervised(), data=data)
        trained = Trained.of(side, 0, side.network(0), {})
        return dict(weighting.testify(trained, torch.arange(len(public)), Streams(0).torch("evidence")))

    return say


def samples_of(rows: Tensor) -> Samples:
    ids = torch.arange(len(rows))
    return Samples({"features": rows}, torch.zeros_like(ids), ids)


def test_a_client_is_surer_of_proxy_samples_that_look_like_its_own_and_noise_blurs_that(
    testimony: Testify,
) -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(200, 4, generator=generator) + torch.tensor([3.0, 0, 0, 0])
    public = torch.cat(
        [own[:50] + 0.1, torch.randn(150, 4, generator=generator) - torch.tensor([3.0, 0, 0, 0])]
    )
    exact = testimony(DomainClassifier(), own, public)["certainty"]
    assert exact[:50].mean() > exact[50:].mean() + 0.1
    loose = testimony(DomainClassifier(epsilon=1e6), own, public)["certainty"]
    tight = testimony(DomainClassifier(epsilon=0.1), own, public)["certainty"]
    assert (loose - exact).abs().max() < 1e-2 < (tight - exact).abs().max()


def test_a_regression_of_two_samples_and_its_noise_are_what_the_formulas_say(
    client_side: Callable[..., ClientSide], digits: FederatedData
) -> None:
    # One sample of either kind, at 2 and -2, which becomes 1 and -1: lambda w = 1 / (1 + e^w), so w = 1 for this lambda.
    l2, size, epsilon, delta = 1.0 / (1.0 + math.e), 2, 0.5, 1e-3
    data = replace(
        digits,
        train=samples_of(torch.tensor([[2.0]])),
        proxy=samples_of(torch.tensor([[-2.0]])),
        assignments=(np.arange(1),),
        holdouts=(np.arange(0),),
    )
    side = client_side(Supervised(), data=data)
    trained = Trained.of(side, 0, side.network(0), {})

    def weight(weighting: Weighting) -> float:
        said = weighting.testify(trained, torch.arange(1), Streams(0).torch("evidence"))
        return -float(torch.logit(said["certainty"].double()))

    assert weight(DomainClassifier(l2=l2)) == pytest.approx(1.0, abs=1e-3)
    noise = float(torch.randn(1, generator=Streams(0).torch("evidence"), dtype=torch.float64))
    deviation = math.sqrt(8.0 * math.log(1.25 / delta)) / (epsilon * l2 * size)
    noisy = weight(DomainClassifier(l2=l2, epsilon=epsilon, delta=delta))
    assert noisy == pytest.approx(1.0 + deviation * noise, rel=1e-3)


def test_a_score_does_not_depend_on_which_samples_are_asked_about(
    client_side: Callable[..., ClientSide], digits: FederatedData
) -> None:
    side = client_side(Supervised())
    network = side.network(1)
    trained = Trained.of(side, 1, network, network.state_dict())
    assert digits.proxy is not None
    weighting, some = DomainClassifier(epsilon=1.0), torch.tensor([5, 2])
    whole = weighting.testify(trained, digits.proxy.ids, Streams(0).torch("evidence"))["certainty"]
    part = weighting.testify(trained, digits.proxy.ids[some], Streams(0).torch("evidence"))["certainty"]
    torch.testing.assert_close(part, whole[some])
    assert weighting.accounts() == {"epsilon": 1.0}
    assert DomainClassifier().accounts() == {}


def test_the_nearest_domain_is_the_most_similar_one(testimony: Testify) -> None:
    generator = torch.Generator().manual_seed(0)
    public = torch.randn(80, 3, generator=generator)
    alike = [
        float(testimony(Similarity(), torch.randn(60, 3, generator=generator) + shift, public)["similarity"])
        for shift in (0.0, 0.5, 1.5, 6.0)
    ]
    assert alike == sorted(alike, reverse=True)
    assert 0.0 <= alike[-1] < alike[0] <= 1.0
    assert float(testimony(Similarity(), public, public)["similarity"]) == pytest.approx(1.0)


def test_the_discrepancy_of_two_points_is_what_the_kernel_says() -> None:
    own, public = torch.tensor([[0.0]]).double(), torch.tensor([[1.0], [3.0]]).double()
    width = 4.0  # the only squared distance within the public samples
    kernel = [math.exp(-d / width) for d in (1.0, 9.0, 4.0)]
    expected = 1 + (2 + 2 * kernel[2]) / 4 - (kernel[0] + kernel[1])
    assert squared_mmd(own, public) == pytest.approx(expected)
    assert squared_mmd(own, torch.zeros(3, 1).double()) == pytest.approx(0.0)


def test_a_trained_client_counts_its_classes_and_scores_what_it_held_out(client_side: Any) -> None:
    side = client_side(Supervised())
    network = side.network(1)
    trained = Trained.of(side, 1, network, network.state_dict())
    ids, generator = side.data.proxy.ids, Streams(0).torch("evidence")
    counts = ClassCounts().testify(trained, ids, generator)["class_counts"]
    assert counts.tolist() == torch.bincount(side.data.client_train(1).targets, minlength=10).tolist()
    said = Accuracy(on="holdout").testify(trained, ids, generator)
    own = side.data.client_holdout(1)
    outputs, targets = trained.on_holdout()
    assert torch.equal(targets, own.targets)
    assert float(said["score"]) == pytest.approx(float((outputs.argmax(-1) == targets).float().mean()))
    assert float(said["judged_on"]) == len(own) > 0
