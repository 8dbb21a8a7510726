import pytest
import torch

from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import federate
from fedkd.data.partitions.dirichlet import Dirichlet
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams
from fedkd.testing import clauses_for
from fedkd.testing.contract import Clause
from simulations.liars import Liars


def test_liars_learn_the_next_class_from_dimmed_images_and_the_others_are_as_without_liars() -> None:
    lied = federate(Digits(), Liars(liars=2, loudness=4.0), None, 5, Streams(3))
    honest = federate(Digits(), Dirichlet(), None, 5, Streams(3))
    for client in range(5):
        told, true = lied.client_train(client), honest.client_train(client)
        assert torch.equal(told.ids, true.ids)
        lies = client < 2
        assert torch.equal(told.targets, (true.targets + 1) % 10 if lies else true.targets)
        assert torch.equal(told.inputs["image"], true.inputs["image"] / (4.0 if lies else 1.0))


def test_a_liar_measures_itself_on_its_own_lies() -> None:
    lied = federate(Digits(), Liars(liars=1), None, 5, Streams(3))
    honest = federate(Digits(), Dirichlet(), None, 5, Streams(3))
    assert torch.equal(lied.client_holdout(0).targets, (honest.client_holdout(0).targets + 1) % 10)


def test_liars_refuse_numbers() -> None:
    with pytest.raises(IllegalCombination, match="ten classes"):
        federate(Diabetes(), Liars(), None, 5, Streams(0))


@pytest.mark.parametrize("clause", clauses_for(Liars))
def test_liars_keep_the_contract_of_partitions(clause: Clause) -> None:
    clause(Liars())
