import pickle

import numpy as np
import pytest

from fedkd.data.positions import Positions

EACH = [np.array([3, 5, 8]), np.empty(0, np.int64), np.array([0])]


def test_positions_are_a_sequence_of_each_clients_own() -> None:
    positions = Positions.of(EACH)
    assert len(positions) == 3
    assert [one.tolist() for one in positions] == [[3, 5, 8], [], [0]]
    assert positions[-1].tolist() == [0]
    assert [one.tolist() for one in positions[1:]] == [[], [0]]
    assert positions.sizes.tolist() == [3, 0, 1]
    with pytest.raises(IndexError):
        positions[3]


def test_nobody_has_nothing_and_positions_stay_what_they_are() -> None:
    assert list(Positions.of([])) == []
    positions = Positions.of(EACH)
    assert Positions.of(positions) is positions


@pytest.mark.parametrize(("largest", "bytes_each"), [(2**31 - 1, 4), (2**31, 8)])
def test_positions_that_fit_are_held_in_four_bytes_and_are_the_same(largest: int, bytes_each: int) -> None:
    positions = Positions.of([np.array([7, largest]), np.array([0])])
    assert positions.flat.itemsize == bytes_each
    assert positions[0].dtype == np.int64
    assert positions[0].tolist() == [7, largest]
    assert pickle.loads(pickle.dumps(positions)).flat.tolist() == [7, largest, 0]
