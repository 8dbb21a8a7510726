"""The shortest combination of gradients: a direction in which every loss falls.

>>> smallest_combination(np.diag([4.0, 1.0]), largest=1.0)
array([0.2, 0.8])

Source: Desideri, "Multiple-gradient descent algorithm" (2012); with an upper bound of each share: Du et al., "Agree to Disagree: Adaptive
Ensemble Knowledge Distillation in Gradient Space" (NeurIPS 2020).
"""

import numpy as np
import numpy.typing as npt

RIDGE, STRESS = 1e-6, 1e3


def smallest_combination(gram: npt.NDArray[np.float64], largest: float) -> npt.NDArray[np.float64]:
    """Return the shares w, each at most `largest` (or 1/K), that minimise `w' G w`; where several do, those nearest to equal.

    Args:
        gram: [K, K] inner products G of the gradients.
        largest: bound of each share.
    """
    from scipy.optimize import lsq_linear  # slow to import, and few need it

    count = len(gram)
    scale = np.trace(gram) / count
    ridged = gram / (scale if scale > 0 else 1.0) + RIDGE * np.eye(count)
    values, vectors = np.linalg.eigh(ridged)
    root = np.sqrt(values.clip(min=0.0))[:, None] * vectors.T
    # That the shares sum to 1 is one more equation, which outweighs the others.
    rows = np.vstack([root, np.full((1, count), STRESS)])
    wanted = np.append(np.zeros(count), STRESS)
    found = lsq_linear(rows, wanted, bounds=(0.0, max(largest, 1.0 / count) + 1e-12), method="bvls").x
    return np.asarray(found.clip(min=0.0) / found.sum(), dtype=np.float64)
