import json
import pickle
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import Indices
from fedkd.data.federated import FederatedData, check, federate
from fedkd.data.fetch import fetch
from fedkd.data.lending import restored, shareable
from fedkd.data.partitions import PARTITIONS
from fedkd.data.partitions.base import Partitioner
from fedkd.data.proxies import PROXIES
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams


def federation(
    data: Any = "digits", partition: Any = "iid", proxy: Any = "heldout", clients: int = 8, seed: int = 0
) -> FederatedData:
    return federate(
        DATASETS.create(data, key="data"),
        PARTITIONS.create(partition, key="partition"),
        PROXIES.create(proxy, key="proxy"),
        clients,
        Streams(seed),
    )


@pytest.mark.parametrize("data", ["digits", "diabetes"])
def test_no_sample_is_in_two_places(data: str) -> None:
    made = federation(data, "dirichlet")
    assert made.proxy is not None
    parts = [made.validation, made.test, made.proxy]
    parts += [made.client_train(client) for client in range(8)] + [
        made.client_holdout(client) for client in range(8)
    ]
    ids = torch.cat([part.ids for part in parts])
    assert sorted(ids.tolist()) == list(range(DATASETS.find(data, key="data").rows))


def test_split_and_proxy_stay_when_clients_and_partition_change() -> None:
    first, second = (
        federation(clients=3),
        federation(partition={"name": "dirichlet", "alpha": 0.1}, clients=50),
    )
    for part in ("train", "validation", "test", "proxy"):
        assert torch.equal(getattr(first, part).ids, getattr(second, part).ids)


def test_a_federation_of_seed_0_is_the_same_on_every_machine() -> None:
    assert federation().manifest["hash"][:16] == "8677cee3208aa50d"


def test_the_manifest_is_json_and_counts_what_clients_train_on() -> None:
    made = federation(partition={"name": "dirichlet", "alpha": 0.3})
    described = json.loads(json.dumps(made.manifest))
    for client, counts in enumerate(described["counts"]):
        assert counts == torch.bincount(made.client_train(client).targets, minlength=10).tolist()
    assert described["sizes"] == [len(own) for own in made.assignments]
    assert described["class_names"] == list("0123456789")
    assert described["options"]["partition"]["alpha"] == 0.3
    assert described["options"]["partition"]["name"] == "dirichlet"
    assert described["splits"] == {"train": 858, "validation": 180, "test": 359, "proxy": 400}


def test_the_manifest_of_numbers_holds_each_clients_mean_in_the_own_unit() -> None:
    made = federation("diabetes", {"name": "classes", "classes_per_client": 1, "empty": "allow"}, clients=300)
    raw = DATASETS.create("diabetes", key="data").read().targets
    for client, mean in enumerate(made.manifest["target_means"]):
        own = made.client_train(client).ids
        assert (mean is None) == (len(own) == 0)
        assert mean is None or mean == pytest.approx(raw[own].mean(), rel=1e-4)


def test_equal_data_has_equal_hashes_and_another_partition_another() -> None:
    first, again, other = federation(), federation(), federation(seed=1)
    assert first.manifest["hash"] == again.manifest["hash"] != other.manifest["hash"]


@pytest.mark.parametrize(
    "partition",
    [
        {"name": "iid"},
        {"name": "feature", "kind": "noise"},
        {"name": "dirichlet", "minimum": 200, "empty": "replace"},
    ],
)
def test_pooled_is_what_all_clients_have_in_one(partition: dict[str, Any]) -> None:
    made = federation(partition=partition)
    pooled = made.pooled()
    assert len(pooled.assignments) == len(pooled.holdouts) == 1
    theirs = torch.cat([made.client_train(client).ids for client in range(8)]).unique()
    one = pooled.client_train(0)
    assert torch.equal(one.ids.sort().values, theirs)
    assert not set(one.ids.tolist()) & set(pooled.client_holdout(0).ids.tolist())
    if partition["name"] == "feature":
        assert torch.equal(
            one.inputs["image"][: len(made.assignments[0])], made.client_train(0).inputs["image"]
        )
    assert pooled.manifest["sizes"] == [len(one)]


def test_an_empty_client_has_samples_of_length_zero() -> None:
    made = federation(partition={"name": "feature", "empty": "allow"}, clients=2000)
    empty = next(client for client, own in enumerate(made.assignments) if len(own) == 0)
    assert made.client_train(empty).inputs["image"].shape == (0, 1, 8, 8)


@pytest.mark.parametrize("data", ["digits", "fashion_mnist"])
def test_images_lie_in_memory_alike_in_the_process_that_read_them_and_in_those_that_borrow_them(
    data: str,
) -> None:
    made = federation(data, clients=3)
    borrowed = restored(pickle.loads(pickle.dumps(shareable(made), protocol=5)))
    for name in ("train", "validation", "test"):
        [own], [other] = (getattr(one, name).inputs.values() for one in (made, borrowed))
        assert own.stride() == other.stride() == torch.empty(own.shape).stride(), name


def test_a_federation_survives_pickling() -> None:
    made = federation(partition="feature")
    copy = pickle.loads(pickle.dumps(made))
    assert torch.equal(copy.client_train(2).inputs["image"], made.client_train(2).inputs["image"])


@pytest.mark.parametrize(
    ("data", "partition", "proxy", "clients", "error", "message"),
    [
        ("digits", {}, {}, 0, InvalidOption, "^clients: "),
        ("digits", {}, {}, 859, InvalidOption, "^clients: got 859, allowed is at most 858"),
        (
            "digits",
            {"name": "classes", "classes_per_client": 11},
            {},
            8,
            InvalidOption,
            "^partition.classes_per_client: ",
        ),
        ("digits", {}, {"size": 0}, 8, InvalidOption, "^proxy.size: got 0"),
        (
            "digits",
            {},
            {"size": 700},
            8,
            InvalidOption,
            "^proxy.size: got 700, allowed is at most 629, half of the training pool",
        ),
        ("digits", {}, {"name": "dataset", "dataset": "digits"}, 8, IllegalCombination, "proxy=heldout"),
        (
            "digits",
            {},
            {"name": "dataset", "dataset": "diabetes"},
            8,
            IllegalCombination,
            "'image' has the shape 1 x 8 x 8",
        ),
        (
            "diabetes",
            {},
            {"name": "dataset", "dataset": "diamonds"},
            8,
            IllegalCombination,
            "'features' of 26",
        ),
        (
            "digits",
            {},
            {"name": "dataset", "dataset": "mnist_20k"},
            8,
            InvalidOption,
            "did you mean 'mnist_10k'",
        ),
        (
            "digits",
            {},
            {"name": "dataset", "size": 9999},
            8,
            InvalidOption,
            "^proxy.size: got 9999, allowed is at most 7000",
        ),
        (
            "digits",
            {},
            {"name": "dataset", "dataset": "fashion_mnist", "labelled": True},
            8,
            IllegalCombination,
            "proxy.labelled",
        ),
        ("diabetes", {"name": "feature"}, {}, 8, IllegalCombination, "changes images"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_anything_is_loaded(
    data: str,
    partition: dict[str, Any],
    proxy: dict[str, Any],
    clients: int,
    error: type[FedkdError],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        check(
            DATASETS.create(data, key="data"),
            PARTITIONS.create({"name": "iid", **partition}, key="partition"),
            PROXIES.create({"name": "heldout", **proxy}, key="proxy"),
            clients,
        )
    assert "\n" not in str(caught.value)


def test_ten_thousand_clients_of_fashion_mnist_take_about_a_second() -> None:
    fetch("fashion_mnist", progress=False)
    start = time.perf_counter()
    made = federation("fashion_mnist", "dirichlet", clients=10_000)
    assert time.perf_counter() - start < 5  # 0.7 s on two idle cores; a busy machine may need more
    assert min(map(len, made.assignments)) == 1


@dataclass(frozen=True, kw_only=True)
class EvenOdd(Partitioner):
    """A partitioner of someone else: even positions for the first client, odd ones for the second."""

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Return the parity of each position."""
        del clients, generator
        return np.arange(len(groups)) % 2


def test_a_partitioner_of_someone_else_can_be_used_and_is_named_by_module_and_class_in_the_manifest() -> None:
    made = federate(DATASETS.create("digits", key="data"), EvenOdd(holdout=0.0), None, 2, Streams(0))
    assert made.proxy is None
    assert made.manifest["options"]["proxy"] == {"name": "none"}
    assert made.manifest["options"]["partition"]["name"] == f"{__name__}:EvenOdd"
    assert made.assignments[0].tolist() == list(range(0, 1258, 2))
