import pytest
import torch

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.losses.checks import agree, one_hot, one_of, positive


def test_shapes_that_are_not_one_are_named() -> None:
    agree("kd", (4, 5), (4, 5))
    with pytest.raises(
        IllegalCombination, match=r"^sp: got batches \[4\] and \[4\] and \[1\], allowed are equal ones$"
    ):
        agree("sp", (4,), (4,), (1,), what="batches")


@pytest.mark.parametrize("number", [0.0, -2.0, float("nan")])
def test_a_number_that_is_not_above_0_is_refused(number: float) -> None:
    positive("decay", 1e-9)
    with pytest.raises(InvalidOption, match=f"^decay: got {number}, allowed is a number > 0$"):
        positive("decay", number)


def test_a_name_that_is_unknown_is_told_the_nearest() -> None:
    one_of("form", "maps", ("maps", "factors"))
    with pytest.raises(
        InvalidOption, match=r"^form: got 'map', allowed is maps or factors; did you mean 'maps'"
    ):
        one_of("form", "map", ("maps", "factors"))


def test_labels_of_any_width_of_integers_are_classes() -> None:
    expected = torch.tensor([[False, False, True], [True, False, False]])
    for dtype in (torch.int64, torch.int32):
        assert one_hot("dkd", torch.tensor([2, 0], dtype=dtype), 3).equal(expected)
    assert one_hot("dkd", torch.tensor([], dtype=torch.int64), 3).shape == (0, 3)
