import numpy as np
import pytest

from fedkd.losses.gradients import smallest_combination


def test_the_golden_case_is_that_of_gradients_averaged_over_the_batch() -> None:
    gradients = np.sin(1.1 * np.arange(20)[None] + np.arange(3)[:, None]).reshape(3, 4, 5).mean(axis=1)
    found = smallest_combination(gradients @ gradients.T, largest=0.6)
    assert found == pytest.approx([0.53654, 0.0, 0.46346], abs=1e-5)
