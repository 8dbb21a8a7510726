import weakref

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.aggregation.sums import BLOCK, RunningMean, Sum

Terms = npt.NDArray[np.float64]


def terms(count: int, size: int, seed: int = 0) -> Terms:
    chance = np.random.default_rng(seed)
    return chance.standard_normal((count, size)) * 10.0 ** chance.integers(-12, 12, (count, 1))


def total(added: Terms) -> Terms:
    result = Sum(added.shape[1])
    for term in added:
        result.add(term)
    return result.result()


@given(order=st.permutations(range(12)))
def test_a_sum_is_the_same_to_the_last_bit_in_any_order(order: list[int]) -> None:
    added = terms(12, 40)
    assert (total(added) == total(added[order])).all()


def test_what_a_small_term_adds_to_a_large_one_is_not_lost() -> None:
    assert total(np.array([[1e16], [1.0], [-1e16], [1e-9]])) == 1.0 + 1e-9
    assert 1e16 + 1.0 - 1e16 + 1e-9 != 1.0 + 1e-9


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_vectors_longer_than_a_block_are_added_whole(size: int) -> None:
    added = np.arange(3.0 * size).reshape(3, size)
    assert (total(added) == added.sum(axis=0)).all()
    assert (added == np.arange(3.0 * size).reshape(3, size)).all()


def test_a_mean_counts_each_by_its_weight_in_the_precision_of_what_was_given() -> None:
    mean = RunningMean()
    for value, weight in ((1, 1), (4, 2)):
        arrays = {
            "single": np.full((2, 3), value, dtype=np.float32),
            "half": np.full((), value, dtype=np.float16),
            "counter": np.array(value, dtype=np.int64),
            "nothing": np.zeros((0, 4)),
        }
        mean.add(arrays, weight)
    result = mean.result()
    assert {name: (str(array.dtype), array.shape) for name, array in result.items()} == {
        "single": ("float32", (2, 3)),
        "half": ("float16", ()),
        "counter": ("float64", ()),
        "nothing": ("float64", (0, 4)),
    }
    assert all((array == 3.0).all() for array in result.values())
    assert RunningMean().result() == {}


def test_a_mean_of_different_precisions_has_the_larger_one_in_any_order() -> None:
    given = [{"w": np.ones(2, dtype=kind)} for kind in (np.float32, np.float64)]
    for arrays in (given, given[::-1]):
        mean = RunningMean()
        for one in arrays:
            mean.add(one, 1)
        assert mean.result()["w"].dtype == np.float64


def test_a_mean_holds_nothing_of_what_was_added() -> None:
    mean, array = RunningMean(), np.ones((4, 4), dtype=np.float32)
    gone = weakref.ref(array)
    mean.add({"w": array.T}, 2)
    del array
    assert gone() is None
