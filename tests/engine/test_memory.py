import weakref

import numpy as np
import pytest
import torch

from fedkd.engine.memory import let_go, out_of_memory

MORE_THAN_THERE_IS = 2**60


def test_all_ways_in_which_memory_runs_out_are_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as pytorch:
        torch.empty(MORE_THAN_THERE_IS)
    with pytest.raises(MemoryError) as numpy:
        np.ones(MORE_THAN_THERE_IS, dtype=np.uint8)
    for error in (pytorch.value, numpy.value, torch.OutOfMemoryError("on a GPU")):
        assert out_of_memory(error)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert not out_of_memory(other.value)


def test_an_exception_that_is_kept_holds_no_tensors_and_says_where_it_was_raised() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fail() -> None:
        large = torch.ones(3)
        held.append(weakref.ref(large))
        raise ValueError("on purpose")

    def outcome() -> Exception | None:
        try:
            fail()
        except ValueError as error:
            return let_go(error)
        return None

    kept = outcome()
    assert kept is not None
    assert held[0]() is None
    assert kept.__traceback__ is not None
    assert kept.__traceback__.tb_next is not None
    assert kept.__traceback__.tb_next.tb_frame.f_code is fail.__code__
