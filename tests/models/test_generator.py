"""Generated inputs are of the shape and the range that networks are given."""

import pytest
import torch

from fedkd.foundation.seeding import Streams
from fedkd.models._generator import SampleGenerator, Values

NOISE = 50.0 * torch.randn(200, 6, generator=Streams(0).torch("noise"))
LABELS = torch.arange(200) % 3


def made(values: Values, shape: tuple[int, ...], rows: int = 200) -> torch.Tensor:
    with Streams(0).initialising("generator"):
        generator = SampleGenerator(shape, classes=3, noise=6, hidden=20, values=values)
    with torch.no_grad():
        samples: torch.Tensor = generator(NOISE[:rows], LABELS[:rows])
    return samples


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4), (3, 2, 5)])
def test_samples_have_the_shape_of_inputs_and_numbers_from_0_to_1(shape: tuple[int, ...]) -> None:
    samples = made("unit", shape)
    assert samples.shape == (200, *shape)
    assert 0.0 <= float(samples.min()) < 0.1
    assert 0.9 < float(samples.max()) <= 1.0


def test_numbers_of_tables_have_mean_0_and_variance_1_and_a_single_sample_is_finite() -> None:
    samples = made("standard", (5,))
    torch.testing.assert_close(samples.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(samples.var(dim=0, correction=0), torch.ones(5), atol=1e-3, rtol=0.0)
    assert made("standard", (5,), rows=1).tolist() == [[0.0] * 5]


def test_classes_have_other_samples_from_the_same_noise() -> None:
    with Streams(0).initialising("generator"):
        generator = SampleGenerator((5,), classes=3, noise=6, hidden=20, values="unit")
    with torch.no_grad():
        one, other = (generator(NOISE / 50, torch.full((200,), label)) for label in (0, 1))
    assert float((one - other).abs().mean()) > 1e-3
