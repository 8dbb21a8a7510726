import numpy as np
import pytest
import torch

from fedkd.data.partitions.feature import Feature
from fedkd.data.samples import Samples
from fedkd.data.shift import Kind, Shift
from fedkd.foundation.seeding import Streams


def bar(high: int = 9, wide: int = 9) -> Samples:
    """One image with a white bar across, and a table beside it."""
    image = torch.zeros(1, 1, high, wide)
    image[..., high // 2, :] = 1
    return Samples(
        {"image": image, "features": torch.ones(1, 3)},
        torch.zeros(1, dtype=torch.long),
        torch.zeros(1, dtype=torch.long),
    )


def shifted(kind: Kind, strength: float, samples: Samples, part: str = "train") -> torch.Tensor:
    assert part in {"train", "holdout"}
    return Shift(kind, np.array([strength]), Streams(0)).apply(samples, 0, part).inputs["image"]  # type: ignore[arg-type]


def test_a_bar_across_stands_upright_after_a_quarter_turn() -> None:
    turned = shifted("rotation", 90.0, bar())
    assert torch.allclose(turned, bar().inputs["image"].transpose(2, 3), atol=1e-5)


def test_a_turn_keeps_lengths_where_images_are_not_square() -> None:
    wide = Samples(
        {"image": torch.zeros(1, 1, 9, 15)},
        torch.zeros(1, dtype=torch.long),
        torch.zeros(1, dtype=torch.long),
    )
    wide.inputs["image"][..., 4, 4:11] = 1  # seven pixels across, about the centre
    upright = shifted("rotation", 90.0, wide)
    assert torch.allclose(upright[0, 0, 1:8, 7], torch.ones(7), atol=1e-5)
    assert float(upright.sum()) == pytest.approx(7, abs=1e-4)


def test_blur_spreads_white_and_keeps_its_amount() -> None:
    point = torch.zeros(1, 1, 15, 15)
    point[..., 7, 7] = 1
    blurred = shifted(
        "blur",
        1.0,
        Samples({"image": point}, torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)),
    )
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    assert float(blurred.max()) == pytest.approx(1 / (2 * np.pi), rel=0.02)


def test_noise_is_the_same_every_time_differs_between_parts_and_stays_in_range() -> None:
    first, again, held = (
        shifted("noise", 0.3, bar()),
        shifted("noise", 0.3, bar()),
        shifted("noise", 0.3, bar(), "holdout"),
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, held)
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("kind", ["rotation", "noise", "blur"])
def test_strengths_are_spread_over_the_clients_and_tables_are_left_alone(kind: Kind) -> None:
    shift = Feature(kind=kind, strength=0.5).shift(5, Streams(0))
    assert shift.strengths.tolist() == (
        [-0.5, -0.25, 0, 0.25, 0.5] if kind == "rotation" else [0, 0.125, 0.25, 0.375, 0.5]
    )
    assert torch.equal(shift.apply(bar(), 4, "train").inputs["features"], torch.ones(1, 3))
    still = 2 if kind == "rotation" else 0
    assert torch.equal(shift.apply(bar(), still, "train").inputs["image"], bar().inputs["image"])


def test_a_single_client_sees_images_as_they_are() -> None:
    assert torch.equal(
        Feature().shift(1, Streams(0)).apply(bar(), 0, "train").inputs["image"], bar().inputs["image"]
    )
