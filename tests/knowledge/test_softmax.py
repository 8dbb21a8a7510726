import pytest
import torch
import torch.nn.functional as F

from fedkd.knowledge.softmax import softmax


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "shape", [(3,), (1, 10), (63, 10), (64, 10), (320, 2), (40, 5, 7), (70, 16), (0, 10)]
)
def test_it_is_the_softmax_of_every_row(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scores = 5 * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    if scores.ndim > 1 and len(scores) > 2:
        scores[0], scores[1] = 1e4, -1e4
        scores[2, ..., 0] = float("-inf")
    said = softmax(scores)
    assert said.is_contiguous()
    torch.testing.assert_close(said, F.softmax(scores, dim=-1))


def test_rows_that_lie_crosswise_are_read_as_they_are() -> None:
    scores = torch.randn(10, 320, generator=torch.Generator().manual_seed(1)).t()
    torch.testing.assert_close(softmax(scores), F.softmax(scores, dim=-1))
