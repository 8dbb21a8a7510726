import numpy as np
import pytest

from fedkd.data.datasets.digits import Digits
from fedkd.data.datasets.kjv import Kjv
from fedkd.data.federated import check, federate
from fedkd.data.partitions.natural import Natural
from fedkd.data.partitions.shards import Shards
from fedkd.data.proxies.heldout import Heldout
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams

OWNERS = np.repeat(np.arange(6), [5, 1, 3, 8, 2, 4])


def clients_of(clients: int, **options: object) -> list[set[int]]:
    """Return the owners in each client."""
    dealt = Natural(**options).assign(OWNERS, clients=clients, streams=Streams(0))  # type: ignore[arg-type]
    return [
        {int(owner) for owner in OWNERS[np.concatenate([own, held])]}
        for own, held in zip(dealt.training, dealt.holdouts, strict=True)
    ]


def test_a_client_is_one_owner_with_all_its_samples_and_the_others_are_left_out() -> None:
    dealt = Natural(holdout=0.0).assign(OWNERS, clients=4, streams=Streams(0))
    drawn = [OWNERS[own[0]] for own in dealt.training]
    assert len(set(drawn)) == 4
    for owner, own in zip(drawn, dealt.training, strict=True):
        assert own.tolist() == np.flatnonzero(owner == OWNERS).tolist()


def test_merged_owners_all_have_a_client_and_none_has_two() -> None:
    merged = clients_of(4, merge=True)
    assert sorted(map(len, merged)) == [1, 1, 2, 2]
    assert set.union(*merged) == set(range(6))


def test_owners_that_are_not_drawn_at_random_are_the_first_ones_in_their_order() -> None:
    assert clients_of(3, drawn=False) == [{0}, {1}, {2}]
    assert clients_of(3, drawn=False, minimum=3) == [{0}, {2}, {3}]


def test_owners_with_too_few_samples_are_never_drawn_and_are_not_filled_up_with_samples_of_others() -> None:
    assert set.union(*clients_of(4, minimum=3)) == {0, 2, 3, 5}
    with pytest.raises(
        InvalidOption, match=r"clients: got 5, allowed is at most 4, the owners with partition\.minimum=3"
    ):
        clients_of(5, minimum=3)


def test_data_that_does_not_know_its_owners_is_refused_before_it_is_loaded() -> None:
    with pytest.raises(IllegalCombination, match="data=digits does not"):
        check(Digits(), Natural(), None, 5)
    with pytest.raises(InvalidOption, match="at most 66"):
        check(Kjv(), Natural(), None, 67)


def test_partitions_by_class_refuse_text() -> None:
    with pytest.raises(IllegalCombination, match="neither classes nor numbers; take partition=natural"):
        check(Kjv(), Shards(), None, 5)


def test_a_federation_of_owners_keeps_each_to_its_client_beside_a_proxy_set() -> None:
    data = federate(Kjv(), Natural(), Heldout(size=100), 66, Streams(0))
    books = [data.client_train(client).owners for client in range(66)]
    assert all(one is not None and len(one.unique()) == 1 for one in books)
    assert len({int(one[0]) for one in books if one is not None}) == 66
    assert data.proxy is not None
    assert data.proxy.owners is not None
    assert data.manifest["unassigned"] == 0
