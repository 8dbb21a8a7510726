import os
from collections.abc import Iterator

import pytest
import torch

from fedkd.foundation.threads import available_threads, threads


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Leave this process one of its CPUs."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def test_the_number_of_threads_holds_within_the_context_and_comes_back_after_it() -> None:
    before = torch.get_num_threads()
    with threads(3):
        with threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_the_number_of_threads_comes_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_there_are_no_more_threads_than_cpus_that_the_process_may_use(
    one_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del one_cpu
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_threads() == 1


def test_openmp_s_own_limit_counts_where_it_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    everything = available_threads()
    assert 1 <= everything <= len(os.sched_getaffinity(0))
    for limit, expected in (
        ("1", 1),
        ("1,4", 1),
        ("1000", everything),
        ("", everything),
        ("many", everything),
    ):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert available_threads() == expected, limit


def test_sums_over_many_threads_are_the_same_bits_each_time() -> None:
    x = torch.randn(64, 6, 28, 28, generator=torch.Generator().manual_seed(0))
    kernel = torch.randn(16, 6, 5, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    found = []
    for _ in range(3):
        with threads(2):
            torch.conv2d(x, kernel).square().mean().backward()
            assert kernel.grad is not None
            found.append(kernel.grad.clone())
            kernel.grad = None
        with threads(1):
            torch.conv2d(x, kernel)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
