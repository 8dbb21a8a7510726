import sys

import pytest

from fedkd.foundation.consecutive import Consecutive


def test_it_maps_as_a_dictionary_does_both_ways() -> None:
    nodes = Consecutive(range(3, 8), 1000)
    plain = {number: number + 997 for number in range(3, 8)}
    assert dict(nodes) == plain == nodes
    assert dict(nodes.inverse()) == {there: here for here, there in plain.items()}
    assert list(nodes) == [3, 4, 5, 6, 7]
    assert dict(nodes.inverse().inverse()) == plain


@pytest.mark.parametrize("number", [2, 8, -1])
def test_a_number_beside_the_range_is_not_there(number: int) -> None:
    nodes = Consecutive(range(3, 8), 1000)
    assert number not in nodes
    with pytest.raises(KeyError):
        nodes[number]


def test_nothing_grows_with_how_many_there_are() -> None:
    few, many = Consecutive(range(1), 5), Consecutive(range(10**12), 5)
    assert sum(map(sys.getsizeof, vars(many).values())) <= sum(map(sys.getsizeof, vars(few).values())) + 64
    assert many[10**12 - 1] == 10**12 + 4
