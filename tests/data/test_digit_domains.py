import functools

import numpy as np
import pytest
import torch

from fedkd.data.datasets.base import Loaded
from fedkd.data.datasets.digit_domains import DigitDomains
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import check, federate
from fedkd.data.partitions.natural import Natural
from fedkd.data.proxies.dataset import OtherDataSet
from fedkd.data.proxies.heldout import Heldout
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams

SMALL = DigitDomains(per_source=200)


@functools.cache
def loaded() -> Loaded:
    return SMALL.load(Streams(0))


def test_training_and_validation_are_of_the_sources_and_the_test_is_of_the_target() -> None:
    parts = {name: getattr(loaded(), name).owners for name in ("train", "validation", "test")}
    assert torch.bincount(parts["train"]).tolist() == [180, 180, 180, 1797 - 359]
    assert torch.bincount(parts["validation"]).tolist() == [20, 20, 20]
    assert parts["test"].unique().tolist() == [3]


def test_each_domain_looks_as_it_does_at_home() -> None:
    means = [
        float(loaded().train.inputs["image"][loaded().train.owners == owner].mean()) for owner in range(4)
    ]
    assert means == pytest.approx([0.25, 0.75, 0.50, 0.31], abs=0.02)  # mnist, negative, mfeat, digits


def test_no_digit_is_both_positive_and_negative() -> None:
    raw = DigitDomains(sources=("mnist", "negative")).read()
    assert raw.owners is not None
    images = raw.views["image"].reshape(len(raw.targets), -1)
    positive = {row.tobytes() for row in images[raw.owners == 0]}
    turned = {(1 - row).round(4).tobytes() for row in images[raw.owners == 1]}
    assert not {np.frombuffer(row, np.float32).round(4).tobytes() for row in positive} & turned


def test_a_client_is_a_source_in_their_order_and_the_public_set_is_of_the_target() -> None:
    data = federate(
        SMALL, Natural(drawn=False), Heldout(size=100, target=True, labelled=False), 3, Streams(0)
    )
    assert data.proxy is not None
    assert data.proxy.owners is not None
    assert data.proxy.owners.unique().tolist() == [3]
    assert not data.proxy_labelled
    for client in range(3):
        owners = data.client_train(client).owners
        assert owners is not None
        assert owners.unique().tolist() == [client]
    assert not set(data.proxy.ids.tolist()) & set(data.test.ids.tolist())


@pytest.mark.parametrize(
    ("target", "sources"), [("digits", ("mnist", "digits")), ("digits", ()), ("mnist", ("mfeat", "mfeat"))]
)
def test_a_target_among_its_sources_is_refused(target: str, sources: tuple[str, ...]) -> None:
    with pytest.raises(InvalidOption, match=r"data\.sources"):
        DigitDomains(target=target, sources=sources)  # type: ignore[arg-type]


def test_what_cannot_be_is_refused_before_loading() -> None:
    with pytest.raises(InvalidOption, match="at most 3, the owners in digit_domains"):
        check(SMALL, Natural(drawn=False), None, 4)
    with pytest.raises(IllegalCombination, match="data=digits has none"):
        check(Digits(), Natural(), Heldout(target=True), 3)
    with pytest.raises(IllegalCombination, match="holds samples of data=digits"):
        check(Digits(), Natural(), OtherDataSet(dataset="digit_domains"), 3)


def test_more_than_the_target_has_is_refused_with_its_number() -> None:
    few = DigitDomains(per_source=1000, test=0.9)
    with pytest.raises(InvalidOption, match="at most 180, the samples of the target domain"):
        federate(few, Natural(drawn=False), Heldout(size=400, target=True), 3, Streams(0))
