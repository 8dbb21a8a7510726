"""Bytes of a round as a formula, read off the functions that count them: nobody writes it down, so it cannot go stale.

A method's payload (`fedkd.cli.payload`) is counted for networks, classes and proxy sets of several sizes; a formula is the sum of
products of the symbols below that gives all of these numbers exactly, and some more that it was not made from.

>>> formulas_of(method)  # DS-FL
Formulas(up='4 K P C', first='0', later='4 K P C')
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fedkd.assembly.method import Method
from fedkd.cli.payload import Ground, Payload, payload_of
from fedkd.foundation.seeding import Streams
from fedkd.models.mlp import MLP

SYMBOLS = {
    "K": "clients of the round",
    "P": "proxy samples of the round",
    "N": "samples of a client, on average",
    "C": "classes, or numbers to predict",
    "d": "features: what the last layer sees",
    "W": "numbers in a network",
}
"""What the letters stand for."""

_PRODUCTS = ("W", "PC", "CC", "Cd", "Pd", "PP", "NC", "Nd", "P", "N", "C", "d", "")
"""What a formula may be a sum of, each for one client."""

_GRID = 64
"""Coefficients are whole multiples of one part in so many: 1/8 where bits cross."""

_SIZES = (
    # P, C, d, hidden units before the features, and N. P and N go in whole bytes of bits, C is such that a class takes 4 bits.
    *(
        (8, 10, 3, 2, 16),
        (16, 10, 5, 7, 40),
        (24, 11, 4, 3, 8),
        (40, 12, 9, 5, 72),
        (8, 15, 6, 4, 24),
        (64, 13, 2, 9, 56),
        (32, 14, 8, 3, 8),
    ),
    *(
        (48, 11, 7, 6, 32),
        (16, 12, 3, 8, 64),
        (72, 15, 5, 2, 8),
        (56, 10, 9, 9, 48),
        (24, 13, 6, 5, 16),
        (80, 14, 4, 7, 88),
        (8, 12, 8, 1, 24),
    ),
)


@dataclass(frozen=True)
class Formulas:
    """Bytes of a round of all clients: up, and down in the first round and in each later one; none where there is no formula."""

    up: str | None
    first: str | None
    later: str | None


def formulas_of(method: Method) -> Formulas:
    """Return the formulas of a method's payload."""
    counted = [payload_of(method, ground) for ground in grounds()]
    payloads = [payload for payload in counted if payload is not None]
    if len(payloads) < len(counted):
        return Formulas(None, None, None)

    def formula(read: Callable[[Payload], int]) -> str | None:
        return _formula([read(payload) for payload in payloads])

    return Formulas(
        formula(lambda payload: payload.up),
        formula(lambda payload: payload.first),
        formula(lambda payload: payload.later),
    )


@functools.cache
def grounds() -> tuple[Ground, ...]:
    """Return the networks, proxy sets and numbers of classes that formulas are made from."""
    with Streams(0).initialising("formulas"):
        return tuple(
            Ground(MLP(hidden=(hidden, width)).network((2,), classes), (2,), samples, classes, own=own)
            for samples, classes, width, hidden, own in _SIZES
        )


@functools.cache
def _table() -> npt.NDArray[np.float64]:
    """Return what each product is for each ground; numbers of the network are 4 bytes."""
    return np.array(
        [
            [float(math.prod(values[symbol] for symbol in product)) for product in _PRODUCTS]
            for ground in grounds()
            for values in [
                {
                    "P": ground.samples,
                    "N": ground.own,
                    "C": ground.outputs,
                    "d": ground.features,
                    "W": ground.weights // 4,
                }
            ]
        ]
    )


def _formula(counted: list[int]) -> str | None:
    """Return the sum of products that gives these numbers, for as many clients as there are; none if there is none."""
    table = _table()
    found = np.linalg.lstsq(table / table.max(axis=0), np.array(counted, dtype=np.float64), rcond=None)[0]
    shares = [round(share * _GRID) for share in found / table.max(axis=0)]
    if any(
        sum(share * int(product) for share, product in zip(shares, row, strict=True)) != _GRID * count
        for row, count in zip(table, counted, strict=True)
    ):
        return None
    terms = zip(shares, _PRODUCTS, strict=True)
    return " + ".join(_term(Fraction(share, _GRID), product) for share, product in terms if share) or "0"


def _term(factor: Fraction, product: str) -> str:
    """Return a term as people write it: `4 K P C`, `K P / 2`, `4 K C^2`."""
    symbols = " ".join(["K", *product]).replace("C C", "C^2").replace("P P", "P^2")
    ahead = "" if factor.numerator == 1 else f"{factor.numerator} "
    behind = "" if factor.denominator == 1 else f" / {factor.denominator}"
    return f"{ahead}{symbols}{behind}"
