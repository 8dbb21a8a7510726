"""The formulas of bytes, read off functions that count, and what they are for methods whose formulas are known."""

import dataclasses
from typing import ClassVar

import pytest

from fedkd.cli.formulas import Formulas, formulas_of
from fedkd.cli.methods import facts_of, read_methods
from fedkd.knowledge import CODECS
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.base import Axis
from fedkd.knowledge.kinds.logits import Logits

RECIPES = read_methods()


@pytest.mark.parametrize(
    ("method", "up", "first", "later"),
    [
        ("fedavg", "4 K W", "4 K W", "4 K W"),
        ("fedgkd", "4 K W", "4 K W", "8 K W"),
        ("fedcad", "4 K W", "4 K W + 4 K C", "4 K W + 4 K C"),
        ("fedmd", "4 K P C", "0", "4 K P C"),
        ("fd", "4 K C^2", "0", "4 K C^2"),
        ("fedproto", "4 K C d", "0", "4 K C d"),
        ("fedgkt", "4 K N C + 4 K N d + 8 K N", "0", "4 K N C"),
        ("local", "0", "0", "0"),
    ],
)
def test_formulas_are_those_of_the_papers(method: str, up: str, first: str, later: str) -> None:
    recipe = RECIPES[method]
    assert recipe.method is not None
    assert formulas_of(recipe.method) == Formulas(up, first, later)


@pytest.mark.parametrize(
    ("codec", "formula"),
    [
        ("float16", "2 K P C"),
        ("int8", "K P C + 8 K P"),
        ("top_k", "9 K P"),
        ({"name": "constrained", "bits": 2}, "K P C / 4"),
        ({"name": "delta", "of": "float16"}, "2 K P C + K P / 8"),
    ],
)
def test_a_codec_gives_the_formula_of_what_it_counts(codec: str, formula: str) -> None:
    recipe = RECIPES["dsfl"]
    assert recipe.method is not None
    method = dataclasses.replace(recipe.method, codec=CODECS.create(codec, key="codec"), codec_down=Float32())
    assert formulas_of(method) == Formulas(formula, "0", "4 K P C")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rooted(Float32):
    """Says a size that is no sum of products."""

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        return int(sum(shape) ** 0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shapeless(Logits):
    """Does not say what it is made of."""

    axes: ClassVar[tuple[Axis, Axis] | None] = None


def test_where_there_is_no_formula_none_is_made_up() -> None:
    recipe = RECIPES["fedmd"]
    assert recipe.method is not None
    rooted = dataclasses.replace(recipe.method, codec=Rooted(), codec_down=Float32())
    assert formulas_of(rooted) == Formulas(None, "0", "4 K P C")
    shapeless = dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, knowledge=Shapeless()))
    assert facts_of(shapeless).bytes_up == "depends"
