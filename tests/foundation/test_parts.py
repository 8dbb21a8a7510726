from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from fedkd.foundation.errors import FedkdError, InvalidOption, nearest
from fedkd.foundation.options import Count, Index, NonNegative, OpenFraction, Positive
from fedkd.foundation.parts import Part, build, dump, options_of, summary_of


@dataclass(frozen=True, kw_only=True)
class Pace(Part):
    """How fast."""

    speed: Positive = 1.0
    """Steps a second."""


@dataclass(frozen=True, kw_only=True)
class Walk(Part):
    """A way to go. With a second sentence."""

    legs: Count
    """How many legs."""

    gait: Literal["walk", "trot", "gallop"] = "walk"
    """The order of the legs,
    over two lines."""

    rest: OpenFraction = 0.5
    """Share of the time."""

    kind: ClassVar[str] = "walk"
    """No option."""


@dataclass(frozen=True, kw_only=True)
class Hike(Walk):
    """A long walk."""

    pace: Pace = field(default_factory=Pace)
    """How fast it goes."""

    stops: tuple[Index, ...] = ()
    """Where it stops."""

    names: dict[str, Positive] = field(default_factory=dict)
    """Words."""

    snack: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share that is eaten; none eats nothing."""

    weight: NonNegative = 0.0
    """What is carried."""


def test_a_part_is_built_from_plain_values_and_says_them_again() -> None:
    options = {
        "legs": 2,
        "gait": "trot",
        "rest": 0.25,
        "pace": {"speed": 3.0},
        "stops": [1, 0],
        "names": {"a": 1.0},
        "snack": None,
        "weight": 0.0,
    }
    hike = build(Hike, options, key="hike")
    assert hike == Hike(legs=2, gait="trot", rest=0.25, pace=Pace(speed=3.0), stops=(1, 0), names={"a": 1.0})
    assert dump(hike) == options
    assert build(Hike, dump(hike), key="hike") == hike


def test_whole_numbers_serve_where_a_number_is_asked_for() -> None:
    assert build(Pace, {"speed": 3}, key="pace").speed == 3.0


def test_a_part_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Pace().speed = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "hike.legs: got None, allowed is a value, it has no default"),
        ({"legs": 0}, "hike.legs: got 0, allowed is greater than or equal to 1"),
        ({"legs": 2.5}, "hike.legs: got 2.5, allowed is a valid integer"),
        ({"legs": "two"}, "hike.legs: got 'two', allowed is a valid integer"),
        ({"legs": True}, "hike.legs: got True, allowed is a valid integer"),
        ({"legs": None}, "hike.legs: got None, allowed is a valid integer"),
        ({"legs": 2, "rest": 1.0}, "hike.rest: got 1.0, allowed is less than 1"),
        ({"legs": 2, "rest": -0.1}, "hike.rest: got -0.1, allowed is greater than or equal to 0"),
        ({"legs": 2, "snack": 1.1}, "hike.snack: got 1.1, allowed is less than or equal to 1"),
        ({"legs": 2, "pace": {"speed": 0}}, "hike.pace.speed: got 0, allowed is greater than 0"),
        ({"legs": 2, "pace": {"speed": "fast"}}, "hike.pace.speed: got 'fast', allowed is a valid number"),
        ({"legs": 2, "stops": [3, -1]}, "hike.stops.1: got -1, allowed is greater than or equal to 0"),
        ({"legs": 2, "names": {"a": -1}}, "hike.names.a: got -1, allowed is greater than 0"),
        (
            {"legs": 2, "gait": "galop"},
            "hike.gait: got 'galop', allowed is 'walk', 'trot' or 'gallop'; did you mean 'gallop'?",
        ),
        (
            {"legs": 2, "rset": 0.5},
            "hike.rset: got 0.5, allowed is one of the options legs, gait, rest, pace, stops, names, snack, weight; did you mean 'rest'?",
        ),
        (
            {"legs": 2, "pace": {"sped": 1}},
            "hike.pace.sped: got 1, allowed is one of the options speed; did you mean 'speed'?",
        ),
        ({"legs": 2, "kind": "run"}, "hike.kind: got 'run', allowed is one of the options legs"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_line_with_key_value_what_is_allowed_and_the_nearest_name(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOption) as refusal:
        build(Hike, options, key="hike")
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(FedkdError, match=r"^pace\.speed: got"):
        build(Pace, {"speed": number}, key="pace")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_values_that_are_not_plain_are_refused(value: object) -> None:
    with pytest.raises(InvalidOption, match="plain values"):
        build(Walk, {"legs": value}, key="walk")


def test_options_are_described_for_people_with_those_of_the_base_class() -> None:
    rows = {option.name: option for option in options_of(Hike)}
    assert list(rows) == ["legs", "gait", "rest", "pace", "stops", "names", "snack", "weight"]
    legs, gait, rest = rows["legs"], rows["gait"], rows["rest"]
    assert (legs.type, legs.default, legs.range, legs.doc) == ("int", "required", ">= 1", "How many legs.")
    assert (gait.type, gait.default, gait.range) == ("walk | trot | gallop", "walk", "")
    assert gait.doc == "The order of the legs, over two lines."
    assert (rest.range, rest.doc) == (">= 0, < 1", "Share of the time.")
    assert (rows["pace"].type, rows["pace"].default) == ("Pace", "Pace(speed=1.0)")
    assert (rows["stops"].type, rows["stops"].doc) == ("list", "Where it stops.")
    assert rows["names"].type == "mapping"
    assert (rows["snack"].type, rows["snack"].range, rows["snack"].default) == (
        "float or null",
        ">= 0, <= 1",
        "None",
    )


def test_the_summary_of_a_part_is_the_first_line_of_its_docstring() -> None:
    assert summary_of(Hike) == "A long walk."


def test_the_nearest_name_is_one_that_is_near() -> None:
    assert nearest("dirichelt", ["iid", "dirichlet", "shards"]) == "dirichlet"
    assert nearest("zzz", ["iid", "dirichlet"]) is None
