from fedkd_robust.confidence_penalty import ConfidencePenalty
from fedkd_robust.median_probabilities import MedianProbabilities
import pytest

from fedkd.testing import Clause, clauses_for


@pytest.mark.parametrize("clause", clauses_for(ConfidencePenalty))
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_client_strategy_keeps_the_contract(clause: Clause, beta: float) -> None:
    clause(ConfidencePenalty(beta=beta))


@pytest.mark.parametrize("clause", clauses_for(MedianProbabilities))
def test_the_fusion_keeps_the_contract(clause: Clause) -> None:
    clause(MedianProbabilities())
