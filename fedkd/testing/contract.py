"""What a contract is: clauses, each a function that takes a part and raises where the part does not keep it.

>>> [check.name for check in run_clauses(ERA(), GENERAL)]
['is a frozen dataclass', 'survives pickling', ...]
"""

import contextlib
import dataclasses
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from fedkd.foundation.parts import build, dump, options_of, summary_of
from fedkd.foundation.registry import Family

Clause = Callable[[Any], None]
"""One thing that must hold of a part; its name, read as words, says what."""


class Check(NamedTuple):
    """What came of one clause.

    Attributes:
        name: the clause in words.
        passed: whether the part keeps it.
        message: why not, in one line; empty where it holds.
    """

    name: str
    passed: bool
    message: str


class Broken(AssertionError):
    """A clause that a part does not keep."""


@dataclass(frozen=True)
class Contract:
    """What must hold of every part of a family.

    Args:
        family: where the parts are found.
        base: their base class.
        clauses: what must hold, besides what holds of every part.
    """

    family: Family
    base: type
    clauses: tuple[Clause, ...]


def require(condition: object, message: str) -> None:
    """Raise `Broken` with the message unless the condition holds."""
    if not bool(condition):
        raise Broken(message)


def run_clauses(part: Any, clauses: Iterable[Clause]) -> list[Check]:
    """Hold each clause against a part; one that raises anything is not kept, and the next is held all the same."""
    checks = []
    for clause in clauses:
        try:
            clause(part)
        except Exception as error:  # noqa: BLE001  (the part is the user's, and may fail in any way)
            checks.append(Check(words_of(clause), passed=False, message=one_line(error)))
        else:
            checks.append(Check(words_of(clause), passed=True, message=""))
    return checks


def words_of(clause: Clause) -> str:
    """Return the name of a clause as words."""
    return clause.__name__.replace("_", " ")


def one_line(error: Exception) -> str:
    """Return what an error says, in one line; errors that are not ours with their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, Broken) else f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def generators_left_alone() -> Iterator[None]:
    """Refuse a block of code that draws from NumPy's or PyTorch's global generator.

    Python's own is left out: run-time type checkers draw from it. Who uses it is caught by comparing two runs.
    """
    before = _global_generators()
    yield
    for name, state in _global_generators().items():
        require(
            state == before[name],
            f"it draws from the global generator of {name}; take a stream of Streams instead",
        )


def is_a_frozen_dataclass(part: Any) -> None:
    """A part is a frozen dataclass of its own, and its options are keyword-only."""
    cls = type(part)
    require(
        "__dataclass_fields__" in vars(cls),
        f"{cls.__name__} is no dataclass; write @dataclass(frozen=True, kw_only=True) above it",
    )
    positional = [field.name for field in dataclasses.fields(cls) if not field.kw_only]
    require(not positional, f"options {', '.join(positional)} are positional; write kw_only=True")
    hidden = {name for name in vars(part) if not hasattr(cls, name)} - {
        field.name for field in dataclasses.fields(cls)
    }
    require(not hidden, f"it holds {', '.join(sorted(hidden))}, which is no option; a part has no state")


def survives_pickling(part: Any) -> None:
    """A part can be sent to another process, and is the same there."""
    back = pickle.loads(pickle.dumps(part))  # noqa: S301  (written in this line)
    require(back == part, "it comes back from pickling as something else")


def survives_its_config(part: Any) -> None:
    """The options, written to a run's config and read back, make the same part: else no run could be resumed."""
    require(build(type(part), dump(part), key="part") == part, "its options, read back, make another part")


def says_what_it_is(part: Any) -> None:
    """The class and each option have words that `fedkd list` shows."""
    cls = type(part)
    summary = summary_of(cls)
    require(summary and not summary.startswith(f"{cls.__name__}("), f"{cls.__name__} has no docstring")
    silent = [option.name for option in options_of(cls) if not option.doc]
    require(not silent, f"no docstring below the options {', '.join(silent)}")


GENERAL: tuple[Clause, ...] = (is_a_frozen_dataclass, survives_pickling, survives_its_config, says_what_it_is)
"""What holds of every part."""


def _global_generators() -> dict[str, bytes]:
    return {
        "NumPy": pickle.dumps(np.random.get_state()),  # noqa: NPY002  (to see that nobody used it)
        "PyTorch": torch.random.get_rng_state().numpy().tobytes(),
    }
