"""What it costs in privacy to answer by a noisy vote.

>>> gnmax_epsilon(sigma=40.0, queries=286, delta=1e-5)
3.0478...
"""

import math


def gnmax_epsilon(*, sigma: float, queries: int, delta: float) -> float:
    """Return the epsilon for which the answers to some queries are (epsilon, delta)-differentially private.

    What is protected is all that one teacher has learned from, so no sample may have been seen by two. The bound holds whatever
    the votes are; that of the same paper which looks at them is smaller where teachers agree, and must itself be kept secret.

    Args:
        sigma: standard deviation of the noise, in votes; 0 protects nothing.
        queries: how many samples were voted on, over all rounds.
        delta: chance with which the promise may fail, between 0 and 1.

    Source: Papernot et al., "Scalable Private Learning with PATE" (2018): one vote is (a, a / sigma^2)-Renyi differentially
    private for every order a >= 1 (proposition 8), orders add up over queries, and epsilon is the least over a > 1 of
    `queries a / sigma^2 + log(1 / delta) / (a - 1)` (theorem 5), which is at `a = 1 + sigma sqrt(log(1 / delta) / queries)`.
    """
    if queries == 0:
        return 0.0
    if sigma == 0:
        return math.inf
    cost = queries / sigma**2
    return cost + 2.0 * math.sqrt(cost * math.log(1.0 / delta))
