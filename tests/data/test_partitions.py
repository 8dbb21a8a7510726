import itertools
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.digits import Digits
from fedkd.data.partitions import PARTITIONS
from fedkd.data.partitions.base import Partitioner
from fedkd.data.partitions.classes import Classes
from fedkd.data.partitions.dirichlet import Dirichlet
from fedkd.data.partitions.iid import Iid
from fedkd.data.partitions.quantity import Quantity
from fedkd.data.partitions.shards import Shards
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams

VARIANTS = ["per_class", "per_class_capped", "per_class_capped_groups", "per_client"]
EVERY: list[dict[str, Any]] = [
    {"name": name}
    for name in PARTITIONS.names()
    if not PARTITIONS.find(name, key="partition").by_owner and name != "shared"
] + [{"name": "dirichlet", "variant": variant} for variant in VARIANTS[1:]]


def create(**options: Any) -> Partitioner:
    made: Partitioner = PARTITIONS.create(options, key="partition")
    return made


def labels(samples: int, classes: int = 10, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(classes, size=samples)


def everything(dealt: Any) -> npt.NDArray[np.int64]:
    return np.concatenate([*dealt.training, *dealt.holdouts])


@pytest.mark.parametrize("options", EVERY, ids=str)
@settings(max_examples=15, deadline=None)
@given(
    samples=st.integers(1, 400),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 99),
    classes=st.integers(2, 12),
    minimum=st.integers(1, 3),
)
def test_every_sample_has_one_owner_and_every_client_its_minimum(
    options: dict[str, Any], samples: int, share: float, seed: int, classes: int, minimum: int
) -> None:
    clients = max(1, int(samples // minimum * share))
    dealt = create(**options, minimum=min(minimum, samples)).assign(
        labels(samples, classes), clients=clients, streams=Streams(seed)
    )
    got = everything(dealt)
    assert len(np.unique(got)) == len(got)
    if options["name"] != "classes" or clients * 2 >= classes:
        assert len(got) == samples
    sizes = [len(train) + len(held) for train, held in zip(dealt.training, dealt.holdouts, strict=True)]
    assert len(sizes) == clients
    assert min(sizes) >= min(minimum, samples)
    assert all(len(train) for train in dealt.training)


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(options: dict[str, Any]) -> None:
    first, again, other = (
        create(**options).assign(labels(500), clients=7, streams=Streams(seed)) for seed in (5, 5, 6)
    )
    assert all(
        np.array_equal(a, b)
        for a, b in zip([*first.training, *first.holdouts], [*again.training, *again.holdouts], strict=True)
    )
    assert any(not np.array_equal(a, b) for a, b in zip(first.training, other.training, strict=True))


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_numeric_targets_can_be_dealt_too(options: dict[str, Any]) -> None:
    targets = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    assert len(everything(create(**options).assign(targets, clients=10, streams=Streams(0)))) == 300


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_a_hundred_thousand_clients_of_fewer_samples_end_soon_with_empty_ones_allowed_or_lent_to(
    options: dict[str, Any],
) -> None:
    y = labels(50_000)
    start = time.perf_counter()
    allowed = create(**options, empty="allow").assign(y, clients=100_000, streams=Streams(0))
    lent = create(**options, empty="replace").assign(y, clients=100_000, streams=Streams(0))
    assert time.perf_counter() - start < 60
    assert len(allowed.training) == len(lent.training) == 100_000
    assert min(map(len, allowed.training)) == 0
    assert min(map(len, lent.training)) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_an_infinite_alpha_every_client_has_the_classes_of_the_pool(variant: str) -> None:
    y = np.repeat(np.arange(4), [1000, 2000, 3000, 2000])
    dealt = create(name="dirichlet", variant=variant, alpha=1e9, holdout=0.0).assign(
        y, clients=10, streams=Streams(0)
    )
    shares = np.stack([np.bincount(y[own], minlength=4) / len(own) for own in dealt.training])
    wide = (
        0.07 if variant in {"per_client", "per_class_capped_groups"} else 0.01
    )  # these draw samples, not shares
    assert np.abs(shares - np.array([1, 2, 3, 2]) / 8).max() < wide


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("alpha", [1e-300, 1e-6, 1e12, 1e300])
def test_extreme_alphas_end_with_every_sample_dealt(variant: str, alpha: float) -> None:
    dealt = create(name="dirichlet", variant=variant, alpha=alpha).assign(
        labels(500), clients=25, streams=Streams(0)
    )
    assert len(everything(dealt)) == 500


def test_a_small_alpha_concentrates_classes() -> None:
    y = labels(5000)

    def main_share(alpha: float) -> float:
        dealt = Dirichlet(alpha=alpha, variant="per_client").assign(y, clients=20, streams=Streams(0))
        return float(np.mean([np.bincount(y[own]).max() / len(own) for own in dealt.training]))

    assert main_share(0.05) > main_share(1.0) + 0.2 > main_share(100.0) + 0.2


def test_the_capped_variant_keeps_sizes_closer_than_the_plain_one() -> None:
    y = labels(5000)
    plain, capped = (
        max(
            map(len, Dirichlet(alpha=0.1, variant=variant).assign(y, clients=20, streams=Streams(1)).training)
        )
        for variant in ("per_class", "per_class_capped")
    )
    assert capped < plain


def test_clients_of_the_per_client_variant_have_equal_sizes() -> None:
    dealt = Dirichlet(alpha=0.1, variant="per_client", holdout=0.0).assign(
        labels(1003), clients=10, streams=Streams(0)
    )
    assert sorted(map(len, dealt.training)) == [100] * 7 + [101] * 3


def test_each_client_has_the_number_of_classes_asked_for_and_no_class_is_left_out() -> None:
    y = np.repeat(np.arange(10), 100)
    dealt = Classes(classes_per_client=3, holdout=0.0).assign(y, clients=7, streams=Streams(0))
    assert [len(np.unique(y[own])) for own in dealt.training] == [3] * 7
    assert len(everything(dealt)) == 1000


def test_two_shards_a_client_are_few_classes_and_equal_sizes() -> None:
    y = np.repeat(np.arange(10), 100)
    dealt = Shards(shards_per_client=2, holdout=0.0).assign(y, clients=10, streams=Streams(0))
    assert {len(own) for own in dealt.training} == {100}
    assert max(len(np.unique(y[own])) for own in dealt.training) <= 2


def test_numeric_targets_are_skewed_by_their_quantile_groups() -> None:
    y = np.random.default_rng(0).standard_normal(2000)
    dealt = Classes(classes_per_client=1, bins=5).assign(y, clients=5, streams=Streams(0))
    ranges = sorted((y[own].min(), y[own].max()) for own in dealt.training)
    assert all(low[1] <= high[0] for low, high in itertools.pairwise(ranges))


def test_log_normal_sizes_are_equal_at_sigma_zero_and_far_apart_at_two() -> None:
    equal = [
        len(own)
        for own in Quantity(sigma=0.0, holdout=0.0)
        .assign(labels(1000), clients=10, streams=Streams(0))
        .training
    ]
    apart = [
        len(own) for own in Quantity(sigma=2.0).assign(labels(1000), clients=10, streams=Streams(0)).training
    ]
    assert max(equal) - min(equal) <= 1
    assert max(apart) > 5 * min(apart)


def test_the_holdout_is_the_share_asked_for_and_never_a_whole_client() -> None:
    dealt = Iid(holdout=0.25).assign(labels(400), clients=10, streams=Streams(0))
    assert {len(held) for held in dealt.holdouts} == {10}
    alone = Iid(holdout=0.9).assign(labels(10), clients=10, streams=Streams(0))
    assert {len(own) for own in alone.training} == {1}


def test_the_repair_moves_samples_only_to_clients_that_lack_them() -> None:
    y = labels(300)
    loose = create(name="dirichlet", alpha=0.05, empty="allow", holdout=0.0).assign(
        y, clients=20, streams=Streams(2)
    )
    tight = create(name="dirichlet", alpha=0.05, minimum=5, holdout=0.0).assign(
        y, clients=20, streams=Streams(2)
    )
    before, after = [np.array([len(own) for own in dealt.training]) for dealt in (loose, tight)]
    assert before.min() < 5
    assert (after[before < 5] == 5).all()
    assert (after[before >= 5] <= before[before >= 5]).all()
    untouched = np.flatnonzero(after == before)
    assert all(np.array_equal(loose.training[client], tight.training[client]) for client in untouched)


def test_a_borrowed_sample_is_never_in_training_and_holdout_of_one_client() -> None:
    dealt = create(name="dirichlet", alpha=0.1, minimum=10, empty="replace", holdout=0.3).assign(
        labels(60), clients=20, streams=Streams(0)
    )
    for train, held in zip(dealt.training, dealt.holdouts, strict=True):
        assert len(train) + len(held) >= 10
        assert len(np.union1d(train, held)) == len(train) + len(held)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "dirichlet", "alpha": -1}, "^partition.alpha: got -1"),
        ({"name": "dirichlet", "alpha": 0}, "^partition.alpha: "),
        ({"name": "dirichlet", "alpha": "much"}, "^partition.alpha: "),
        ({"name": "dirichlet", "variant": "per_clas"}, "did you mean 'per_class'"),
        ({"name": "classes", "classes_per_client": 0}, "^partition.classes_per_client: "),
        ({"name": "iid", "holdout": 1}, "^partition.holdout: "),
        ({"name": "iid", "alpha": 1}, "^partition.alpha: "),
        ({"name": "dirichlt"}, "did you mean 'dirichlet'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        create(**options)


def test_more_classes_a_client_than_classes_and_more_clients_than_samples_are_refused() -> None:
    with pytest.raises(
        InvalidOption,
        match=r"partition.classes_per_client: got 11, allowed is at most 10, the classes of digits",
    ):
        create(name="classes", classes_per_client=11).check(Digits(), 1000, 10)
    with pytest.raises(InvalidOption, match=r"at most 4, partition.bins"):
        create(name="classes", classes_per_client=5, bins=4).check(Diabetes(), 300, 10)
    with pytest.raises(InvalidOption, match=r"clients: got 1001, .* partition.empty=allow"):
        Iid().check(Digits(), 1000, 1001)
    Iid(empty="allow").check(Digits(), 1000, 1001)
    Iid(empty="replace").check(Digits(), 1000, 1001)


def test_a_feature_partition_of_a_table_is_refused() -> None:
    with pytest.raises(IllegalCombination, match="data=diabetes has none"):
        create(name="feature").check(Diabetes(), 300, 10)


def test_clients_of_one_cluster_have_the_same_classes() -> None:
    groups = labels(400)
    dealt = create(name="classes", classes_per_client=5, clusters=2).assign(
        groups, clients=6, streams=Streams(0)
    )
    seen = [set(groups[own].tolist()) for own in dealt.training]
    assert seen[0] == seen[2] == seen[4]
    assert seen[1] == seen[3] == seen[5]
    assert seen[0] | seen[1] == set(range(10))
    assert not seen[0] & seen[1]
    assert len(np.unique(everything(dealt))) == 400
    with pytest.raises(InvalidOption, match=r"partition\.clusters: got 3, allowed is at most the 2"):
        create(name="classes", clusters=3).check(Digits(), 100, 2)
