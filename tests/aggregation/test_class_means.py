import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation.class_means import mean_of_others

# three clients, two labels, two classes; client 1 never saw label 0, and nobody but client 2 saw label 1
VALUES = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]], [[5.0, 4.0], [7.0, 8.0]]])
COUNTS = torch.tensor([[10, 0], [0, 0], [1, 3]])


@pytest.mark.parametrize(
    ("without", "means", "known"),
    [
        (0, [[5.0, 4.0], [7.0, 8.0]], [True, True]),
        (1, [[3.0, 3.0], [7.0, 8.0]], [True, True]),
        (2, [[1.0, 2.0], [0.0, 0.0]], [True, False]),
        (None, [[3.0, 3.0], [7.0, 8.0]], [True, True]),
    ],
)
def test_each_client_is_taught_by_the_mean_of_those_others_that_have_the_label(
    without: int | None, means: list[list[float]], known: list[bool]
) -> None:
    said, anybody = mean_of_others(VALUES, COUNTS, without=without)
    assert said.tolist() == means
    assert anybody.tolist() == known


@given(own=st.floats(-1e6, 1e6), absent=st.floats(-1e6, 1e6))
def test_neither_its_own_word_nor_that_of_a_client_without_the_label_reaches_a_client(
    own: float, absent: float
) -> None:
    values = VALUES.clone()
    values[0], values[1] = own, absent
    assert torch.equal(
        mean_of_others(values, COUNTS, without=0)[0], mean_of_others(VALUES, COUNTS, without=0)[0]
    )


def test_rows_that_say_nothing_may_hold_nan() -> None:
    values = VALUES.clone()
    values[1] = float("nan")
    assert mean_of_others(values, COUNTS, without=None)[0].isfinite().all()


def test_leaving_one_out_agrees_with_the_plain_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    values, counts = torch.randn(6, 4, 4, generator=generator), torch.randint(3, (6, 4), generator=generator)
    for client in range(6):
        means, known = mean_of_others(values, counts, without=client)
        for label in range(4):
            teachers = [other for other in range(6) if other != client and counts[other, label] > 0]
            expected: Tensor = values[teachers, label].mean(0) if teachers else torch.zeros(4)
            assert torch.allclose(means[label], expected, atol=1e-6)
            assert bool(known[label]) == bool(teachers)
