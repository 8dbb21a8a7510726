"""The contract, held against the parts of this package for options of one's own."""

import pytest
from fedkd_robust.confidence_penalty import ConfidencePenalty
from fedkd_robust.median_probabilities import MedianProbabilities

from fedkd.testing import Clause, clauses_for


@pytest.mark.parametrize("clause", clauses_for(ConfidencePenalty))
def test_the_client_strategy_keeps_the_contract(clause: Clause) -> None:
    """A strong penalty keeps it too."""
    clause(ConfidencePenalty(beta=0.5))


@pytest.mark.parametrize("clause", clauses_for(MedianProbabilities))
def test_the_fusion_keeps_the_contract(clause: Clause) -> None:
    """It has no options."""
    clause(MedianProbabilities())
