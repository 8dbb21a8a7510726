import numpy as np
import pytest
import torch

from fedkd.data.datasets._interactions import BITS
from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.lastfm import LastFM
from fedkd.data.datasets.movielens import MovieLens
from fedkd.data.federated import check, federate
from fedkd.data.partitions.natural import Natural
from fedkd.data.proxies.heldout import Heldout
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams


def bits_of(words: torch.Tensor) -> set[int]:
    """Return the items of which some words say that they were taken."""
    return {
        place * BITS + bit
        for place, word in enumerate(words.tolist())
        for bit in range(BITS)
        if word >> bit & 1
    }


def test_what_is_known_of_a_user_is_what_was_taken_before_and_nothing_else() -> None:
    data = MovieLens(history=5)
    raw = data.read()
    history, seen = torch.from_numpy(raw.views["history"]), torch.from_numpy(raw.views["seen"])
    assert raw.owners is not None
    for user in (0, 1, 404, 942):
        rows = np.flatnonzero(raw.owners == user)
        taken = raw.targets[rows].tolist()
        for place in sorted({0, 1, 4, 5, 6, len(rows) - 1}):
            last = taken[max(place - 5, 0) : place]
            assert history[rows[place]].tolist() == [1682] * (5 - len(last)) + last
            assert bits_of(seen[rows[place]]) == set(taken[:place])


def test_a_users_last_items_are_for_testing_and_choosing() -> None:
    loaded = MovieLens().load(Streams(0))
    for part in (loaded.test, loaded.validation):
        assert part.owners is not None
        assert part.owners.tolist() == list(range(943))
    assert torch.equal(loaded.test.ids, loaded.validation.ids + 1)
    # what was chosen by is known when it is tested
    assert torch.equal(loaded.test.inputs["history"][:, -1], loaded.validation.targets)
    # film 50 is Star Wars, the most rated one
    assert int(loaded.train.targets.bincount().argmax()) == 49


def test_a_history_that_holds_everything_needs_no_bits() -> None:
    data = LastFM()
    assert set(data.views) == {"history", "user"}
    assert set(LastFM(history=48).views) == {"history", "user", "seen"}
    test = data.load(Streams(0)).test
    assert int((test.inputs["history"] < 17_632).sum(dim=1).max()) == 49
    assert not (test.inputs["history"] == test.targets[:, None]).any()


def test_each_user_can_be_a_client() -> None:
    data = federate(MovieLens(), Natural(), None, 943, Streams(0))
    assert data.manifest["unassigned"] == 0
    assert min(data.manifest["sizes"]) >= 15


def test_a_proxy_set_of_whole_users_leaves_their_samples_to_no_client() -> None:
    data = federate(MovieLens(), Natural(merge=True), Heldout(size=3000, by_owner=True), 5, Streams(0))
    assert data.proxy is not None
    assert data.proxy.owners is not None
    assert data.train.owners is not None
    public, private = set(data.proxy.owners.tolist()), set(data.train.owners.tolist())
    assert len(data.proxy) == 3000
    assert len(public) < 60
    assert len(public & private) <= 1


def test_users_cannot_be_held_out_of_data_without_any() -> None:
    with pytest.raises(IllegalCombination, match=r"proxy\.by_owner=true needs data that says whose"):
        check(Diabetes(), Natural(), Heldout(by_owner=True), 2)
