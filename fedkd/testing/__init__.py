"""The contracts that the built-in parts keep, for parts of your own: `fedkd check module:Class`, or in your own tests.

>>> @pytest.mark.parametrize("clause", fedkd.testing.clauses_for(Gentle))
... def test_gentle_keeps_the_contract(clause):
...     clause(Gentle(strength=0.2))
"""

from fedkd.testing.checking import CONTRACTS, check, check_part, clauses_for
from fedkd.testing.contract import Broken, Check, Clause, Contract

__all__ = ["CONTRACTS", "Broken", "Check", "Clause", "Contract", "check", "check_part", "clauses_for"]
