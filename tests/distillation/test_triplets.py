"""What triplets of features cost."""

import pytest
import torch

from fedkd.distillation.distiller import triplet


def test_a_triplet_costs_what_its_order_lacks_at_any_scale_of_the_features() -> None:
    anchor, near, far = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [1.0]])
    # Of mean distance 15 / 4: 1 - 4 + 0.5 * 15 / 4 is below 0, 9 - 1 + 0.5 * 15 / 4 is not.
    for scale in (1.0, 100.0):
        lacking = triplet(scale * anchor, scale * near, scale * far, margin=0.5)
        assert float(lacking) == pytest.approx((8 / 3.75 + 0.5) / 2)
    assert float(triplet(anchor, anchor, anchor, margin=0.5)) == pytest.approx(0.5)
