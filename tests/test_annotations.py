"""The tests run with annotations that are checked: types everywhere, and shapes where there are any."""

import beartype.roar
import jaxtyping
import pytest
import torch

from fedkd.losses import kd
from fedkd.models.base import count_parameters
from fedkd.training import Fit


def test_a_shape_that_does_not_fit_the_others_is_an_error() -> None:
    assert kd(torch.zeros(2, 3), torch.zeros(2, 3), temperature=1.0) == 0
    with pytest.raises(jaxtyping.TypeCheckError):
        kd(torch.zeros(2, 3), torch.zeros(4, 3), temperature=1.0)


def test_a_type_is_an_error_where_no_shape_is_stated() -> None:
    with pytest.raises(beartype.roar.BeartypeCallHintParamViolation):
        count_parameters("network")  # type: ignore[arg-type]


def test_a_method_is_checked_too() -> None:
    with pytest.raises((beartype.roar.BeartypeCallHintParamViolation, jaxtyping.TypeCheckError)):
        Fit().steps("many")  # type: ignore[arg-type]
