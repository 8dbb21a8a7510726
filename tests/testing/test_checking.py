import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.registry import BrokenPlugin
from fedkd.testing import CONTRACTS, Check, Contract, check, clauses_for
from fedkd.testing.contract import Clause, words_of

BUILT_IN = [
    pytest.param(contract, name, clause, id=f"{contract.base.__name__}-{name}-{clause.__name__}")
    for contract in CONTRACTS
    for name in contract.family.names()
    for clause in clauses_for(contract.family.find(name, key="name"))
]


@pytest.mark.parametrize(("contract", "name", "clause"), BUILT_IN)
def test_every_built_in_part_keeps_its_contract(contract: Contract, name: str, clause: Clause):
    clause(contract.family.create(name, key=name))
