"""Holding the contract of its family against a part.

>>> check("my_package.smooth:Smooth")[0]
Check(name='is a frozen dataclass', passed=True, message='')
"""

import importlib
import importlib.metadata
import inspect
from collections.abc import Mapping
from typing import Any

from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.parts import build
from fedkd.foundation.registry import BrokenPlugin
from fedkd.testing import (
    client_strategies,
    codecs,
    datasets,
    fusions,
    kinds,
    models,
    partitions,
    proxies,
    server_strategies,
    terms,
    weightings,
)
from fedkd.testing.contract import GENERAL, Check, Clause, Contract, run_clauses

CONTRACTS: tuple[Contract, ...] = tuple(
    module.CONTRACT
    for module in (
        client_strategies,
        fusions,
        weightings,
        terms,
        kinds,
        codecs,
        server_strategies,
        models,
        datasets,
        partitions,
        proxies,
    )
)
"""The contract of each family that has one."""


def check(reference: str) -> list[Check]:
    """Hold the contract against a part with its default options.

    Args:
        reference: `module:Class`, or the name under which an installed package offers a part.

    Returns:
        What came of each clause; a part that cannot be made without options fails the first, and no other is tried.

    Raises:
        InvalidOption: no installed package offers a part of this name.
        BrokenPlugin: it cannot be imported, or is no part that has a contract.
    """
    cls = _find(reference)
    try:
        part = build(cls, {}, key=cls.__name__)
    except Exception as error:  # noqa: BLE001  (the part is the user's, and may fail in any way)
        return [Check("has a default for every option", passed=False, message=" ".join(str(error).split()))]
    return [Check("has a default for every option", passed=True, message=""), *check_part(part)]


def check_part(part: Any) -> list[Check]:
    """Hold the contract against a part with the options that it has."""
    return run_clauses(part, clauses_for(type(part)))


def clauses_for(cls: type) -> tuple[Clause, ...]:
    """Return every clause of a part's contract: those of any part, then those of its family.

    Raises:
        BrokenPlugin: it is no part that has a contract.
    """
    return (*GENERAL, *_contract_of(cls, cls.__qualname__).clauses)


def _find(reference: str) -> type[Any]:
    module, colon, attribute = reference.partition(":")
    if not colon:
        offered = _offered()
        if reference not in offered:
            names = f"; installed plug-ins: {', '.join(offered)}" if offered else ""
            allowed = f"module:Class, or the name of an installed plug-in{names}"
            raise InvalidOption("check", reference, allowed, nearest(reference, offered))
        module, _, attribute = offered[reference].partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a plug-in may fail in any way
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BrokenPlugin("check", reference, f"importable; this one fails with {reason}") from error
    _contract_of(cls, reference)
    return cls  # type: ignore[no-any-return]


def _contract_of(cls: object, reference: str) -> Contract:
    for contract in CONTRACTS:
        if inspect.isclass(cls) and issubclass(cls, contract.base):
            return contract
    bases = ", ".join(f"{contract.base.__module__}.{contract.base.__name__}" for contract in CONTRACTS)
    raise BrokenPlugin("check", reference, f"a subclass of one of {bases}")


def _offered() -> Mapping[str, str]:
    """Return what installed packages offer: the name of each part, and `module:Class`."""
    return {
        point.name: point.value
        for contract in CONTRACTS
        for point in importlib.metadata.entry_points(group=contract.family.entry_points)
    }
