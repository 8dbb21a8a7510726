"""Networks for digits, whose published weights fit: layers, what is done to an image, both engines."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from PIL import Image
from torch import Tensor

from fedkd.clients.supervised import Supervised
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import FederatedData
from fedkd.engine import Turn, train_together
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models import MODELS
from fedkd.models.base import count_parameters
from fedkd.models.digit_cnn import DigitCNN, Domain, _DigitCNN
from fedkd.training import Fit, Optimizer

DOMAINS = get_args(Domain)
every_domain = pytest.mark.parametrize("domain", DOMAINS)


def network(domain: Domain, shape: tuple[int, ...] = (1, 28, 28)) -> _DigitCNN:
    with Streams(0).initialising("test"):
        built = DigitCNN(domain=domain).network(shape, 10)
    assert isinstance(built, _DigitCNN)
    return built.eval()


@pytest.mark.parametrize(
    ("domain", "parameters"),
    [
        ("mnist", (9 * 32 + 32) + (9 * 32 * 64 + 64) + (64 * 49 * 128 + 128) + (1280 + 10)),
        ("usps", (9 * 32 + 3 * 32) + (9 * 32 * 64 + 3 * 64) + (64 * 16 * 128 + 128) + (1280 + 10)),
        (
            "svhn",
            sum(9 * a * b + 3 * b + 9 * b * b + 3 * b for a, b in ((3, 32), (32, 64), (64, 128)))
            + (128 * 16 * 256 + 256)
            + (2560 + 10),
        ),
    ],
)
def test_each_has_the_parameters_that_one_counts_by_hand(domain: Domain, parameters: int) -> None:
    assert count_parameters(network(domain)) == parameters


@every_domain
def test_an_image_is_resized_as_pillow_does_it_which_rounds_to_grey_levels(domain: Domain) -> None:
    """The networks were trained on images that Pillow had resized; without its smoothing the edges of strokes are far off."""
    own = network(domain, (1, 8, 8))
    digits = np.rint(Digits().read().views["image"][:20, 0] * (255 / 16)).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(digit).resize((40, 40))) for digit in digits])
    for images in (digits, large):
        size = (own.side, own.side)
        wanted = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in images]
        read = own.prepared(torch.from_numpy(images)[:, None].float() / 255) * own.std + own.mean
        assert read.shape == (20, 3 if domain == "svhn" else 1, own.side, own.side)
        expected = torch.from_numpy(np.stack(wanted))[:, None].float().expand_as(read)
        torch.testing.assert_close(read * 255, expected, rtol=0, atol=1.01)


@every_domain
def test_a_grey_image_is_read_as_the_same_image_in_colour(domain: Domain) -> None:
    x = torch.rand(3, 1, 20, 20)
    grey, colour = (network(domain, (channels, 20, 20)) for channels in (1, 3))
    torch.testing.assert_close(grey(x).logits, colour(x.expand(-1, 3, -1, -1)).logits, rtol=1e-4, atol=1e-5)


@every_domain
def test_features_are_what_the_last_layer_sees(domain: Domain) -> None:
    own = network(domain)
    said = own(torch.rand(3, 1, 28, 28))
    assert torch.equal(own.classifier[-1](said.features), said.logits)


def test_what_cannot_be_read_is_refused_with_a_way_out() -> None:
    with pytest.raises(IllegalCombination, match=r"1 or 3 channels, this data has 2; take model=lenet"):
        DigitCNN().network((2, 28, 28), 10)
    with pytest.raises(InvalidOption, match=r"^model\.domain: got 'minst'"):
        MODELS.create({"name": "digit_cnn", "domain": "minst"}, key="model")


@pytest.fixture(scope="module")
def few(digits: FederatedData) -> FederatedData:
    sizes = (0, 1, 7, 20)
    return replace(
        digits, assignments=tuple(np.arange(size) + 30 * place for place, size in enumerate(sizes))
    )


@pytest.mark.parametrize("domain", ["mnist", "usps"])
def test_both_engines_train_the_same_networks(
    domain: Domain, few: FederatedData, client_side: Callable[..., Any]
) -> None:
    """At once where there is no BatchNorm; with it, one by one whatever the engine is called."""
    outcomes: list[list[dict[str, Tensor]]] = []
    for engine in (Sequential(), Vectorised()):
        side = client_side(
            Supervised(fit=Fit(batch_size=8, optimizer=Optimizer(lr=0.05, momentum=0.9))),
            data=few,
            models=(DigitCNN(domain=domain),) * 4,
            kind=Weights(),
            engine=engine,
        )
        mail = Mail(RecordDict({"config": ConfigRecord({"server-round": 1})}))
        replies = train_together(side, [Turn(client, mail, RecordDict()) for client in range(4)])
        outcomes.append(
            [dict(from_records(reply).arrays) for reply in replies if isinstance(reply, RecordDict)]
        )
    assert len(outcomes[0]) == len(outcomes[1]) == 4
    for alone, together in zip(*outcomes, strict=True):
        assert alone.keys() == together.keys()
        for name, weight in alone.items():
            torch.testing.assert_close(weight, together[name], rtol=1e-3, atol=1e-4)


def test_the_state_dict_holds_what_the_published_one_does_and_no_statistics_of_images() -> None:
    names = {name for domain in DOMAINS for name in network(domain).state_dict()}
    assert all(name.startswith(("features.", "classifier.")) for name in names)
