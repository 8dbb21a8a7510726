import numpy as np
import pytest
import torch

from fedkd.data.samples import Samples, concatenate


def samples(count: int) -> Samples:
    return Samples(
        {"image": torch.rand(count, 1, 2, 2), "features": torch.rand(count, 3)},
        torch.arange(count),
        torch.arange(count) + 100,
    )


@pytest.mark.parametrize("indices", [torch.tensor([2, 0, 2]), np.array([2, 0, 2]), [2, 0, 2]])
def test_taking_keeps_views_targets_and_ids_together_in_the_order_asked_for(indices: torch.Tensor) -> None:
    whole = samples(4)
    taken = whole.take(indices)
    assert taken.ids.tolist() == [102, 100, 102]
    assert taken.targets.tolist() == [2, 0, 2]
    assert torch.equal(taken.inputs["image"][1], whole.inputs["image"][0])
    assert torch.equal(taken.inputs["features"][2], whole.inputs["features"][2])


def test_taking_nothing_leaves_the_shapes() -> None:
    assert samples(4).take(np.empty(0, dtype=np.int64)).inputs["image"].shape == (0, 1, 2, 2)


def test_views_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        Samples({"image": torch.rand(2, 1)}, torch.zeros(3), torch.zeros(3))


def test_parts_that_were_taken_apart_can_be_put_together() -> None:
    whole = samples(5)
    joined = concatenate([whole.take([0, 1]), whole.take([2, 3, 4])])
    assert torch.equal(joined.ids, whole.ids)
    assert torch.equal(joined.inputs["features"], whole.inputs["features"])
