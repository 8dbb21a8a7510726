import pytest
import torch

from fedkd.aggregation.teachers import Teachers
from simulations.best_teacher import Best
from simulations.knowledge_quality import linear_cka

FEATURES = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))


def test_linear_cka_sees_neither_rotation_nor_scale_nor_shift_and_tells_strangers_apart() -> None:
    turned = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1))).Q
    assert linear_cka(FEATURES, 3.0 * FEATURES @ turned + 1.0) == pytest.approx(1.0, abs=1e-5)
    assert linear_cka(FEATURES, torch.randn(50, 6, generator=torch.Generator().manual_seed(2))) < 0.3
    assert linear_cka(FEATURES, torch.zeros(50, 2)) == 0.0


def test_the_best_teacher_has_all_the_weight_and_the_first_of_equals_is_it() -> None:
    known = Teachers(
        outputs=torch.zeros(3, 2, 4), sizes=torch.ones(3), present=torch.ones(3, 2, dtype=torch.bool), scores=torch.tensor([0.2, 0.9, 0.9])
    )  # fmt: skip
    assert Best().weigh(known).tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
