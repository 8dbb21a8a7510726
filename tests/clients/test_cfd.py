from collections.abc import Callable

import torch
from flwr.app import ConfigRecord, RecordDict

from fedkd import engine
from fedkd.clients.cfd import CFD
from fedkd.clients.codistillation import CoDistillation
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.constrained import Constrained
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.probabilities import Probabilities
from fedkd.training import Fit, Optimizer

FIT = Fit(epochs=2, batch_size=16, optimizer=Optimizer(name="adam", lr=0.01))


def message(number: int, received: Package | None = None) -> RecordDict:
    knowledge = {} if received is None else to_records(received, Float32())
    return RecordDict({**knowledge, "config": ConfigRecord({"server-round": number})})


def test_a_client_that_took_part_before_says_what_a_new_one_says(
    client_side: Callable[..., ClientSide], digits: FederatedData
) -> None:
    """The paper's equation 17: every round starts from the same weights, and what clients know is in the server's labels."""
    assert digits.proxy is not None
    side = client_side(CFD(fit=FIT, digest=FIT), kind=Probabilities())
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(digits.proxy), 10, generator=generator)
    word = Package("probabilities", {"values": logits.softmax(dim=1)}, ids=digits.proxy.ids)
    old, new = RecordDict(), RecordDict()
    engine.train(side, 1, message(1), old)
    answers = [from_records(engine.train(side, 1, message(2, word), state)).values for state in (old, new)]
    assert torch.equal(*answers)
    without = from_records(engine.train(side, 1, message(2), new)).values
    assert not torch.allclose(answers[0], without)


def test_clients_of_one_architecture_start_alike_and_others_of_the_family_do_not(
    client_side: Callable[..., ClientSide],
) -> None:
    for strategy, alike in ((CFD(), True), (CoDistillation(), False)):
        side = client_side(strategy)
        first, second = (side.initial_weights(client) for client in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first) == alike


def test_what_is_sent_is_the_vote_on_each_public_sample(client_side: Callable[..., ClientSide]) -> None:
    plain, votes = (
        from_records(
            engine.train(
                client_side(CFD(fit=FIT), kind=Probabilities(), codec=codec), 2, message(1), RecordDict()
            )
        ).values
        for codec in (Float32(), Constrained())
    )
    assert torch.equal(votes, torch.nn.functional.one_hot(plain.argmax(dim=1), 10).float())
