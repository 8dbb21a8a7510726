import sys
from pathlib import Path

import pytest

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.registry import BrokenPlugin
from fedkd.testing import CONTRACTS, Check, Contract, check, clauses_for
from fedkd.testing.contract import Clause

BUILT_IN = [
    pytest.param(contract, name, clause, id=f"{contract.base.__name__}-{name}-{clause.__name__}")
    for contract in CONTRACTS
    for name in contract.family.names()
    for clause in clauses_for(contract.family.find(name, key="name"))
]

PLUGIN = '''
from dataclasses import dataclass

from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.knowledge.codecs.float32 import Float32


@dataclass(frozen=True, kw_only=True)
class Same(MeanLogits):
    """The mean of logits under another name."""


@dataclass(frozen=True, kw_only=True)
class Demanding(Float32):
    """Has an option without a default."""

    bits: int
    """How many."""


class Nothing:
    """No part at all."""
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a module and an installed package that offers parts of it on the path; return the module's name."""
    (tmp_path / "offered_parts.py").write_text(PLUGIN)
    (tmp_path / "fails_on_import.py").write_text("import module_that_is_nowhere\n")
    about = tmp_path / "offering-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fedkd.fusions]\nsame_mean = offered_parts:Same\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "offered_parts", raising=False)
    return "offered_parts"


@pytest.mark.parametrize(("contract", "name", "clause"), BUILT_IN)
def test_every_built_in_part_keeps_its_contract(contract: Contract, name: str, clause: Clause) -> None:
    clause(contract.family.create(name, key=name))


def test_a_class_is_checked_by_its_module_and_name(plugin: str) -> None:
    checks = check(f"{plugin}:Same")
    assert checks[0] == Check("has a default for every option", passed=True, message="")
    assert all(one.passed for one in checks)
    assert "teachers that agree are believed" in [one.name for one in checks]


def test_a_part_of_an_installed_package_is_checked_by_its_name(plugin: str) -> None:
    assert check("same_mean") == check(f"{plugin}:Same")


def test_an_option_without_a_default_is_named(plugin: str) -> None:
    (only,) = check(f"{plugin}:Demanding")
    assert not only.passed
    assert "Demanding.bits" in only.message


def test_a_check_is_read_as_name_passed_and_message(plugin: str) -> None:
    for name, passed, message in check(f"{plugin}:Same"):
        assert (name, passed, message) == (name, True, "")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("same_maen", "did you mean 'same_mean'"),
        ("era", "installed plug-ins"),
        ("offered_parts:Nothing", "a subclass of"),
        ("offered_parts:Absent", "AttributeError"),
        ("fails_on_import:Part", "ModuleNotFoundError: No module named 'module_that_is_nowhere'"),
        ("nowhere:Part", "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(reference: str, words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check(reference)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BrokenPlugin) == (":" in reference)
