"""fluke 0.8.1 (Polato): its CentralizedFL with its own clients and server, in one process.

Before each round every client gets its samples in the order of training, all epochs after one another; clients forget
their model after a round (`persistency=False`), as FedAvg's may.
"""

import torch
from torch import nn

from simulations.bench.job import Clock, Contestant, Job, Played
from simulations.bench.peers._torchvision import stand_in

CONTESTANTS = [Contestant("fluke 0.8.1, 1 process", "fluke", environment="fluke")]


def play(job: Job) -> Played:
    """Run the rounds."""
    stand_in()
    from fluke.algorithms import CentralizedFL
    from fluke.client import Client
    from fluke.config import OptimizerConfigurator
    from fluke.data import FastDataLoader
    from fluke.server import Server
    from fluke.utils import FederationObserver

    material = job.material
    assert len(material.participants[0]) == len(material.x), "only rounds of all clients are the same work"

    def loader(turn: int, place: int) -> FastDataLoader:
        x, y = material.samples(turn, place)
        outputs = material.plan["network"]["outputs"]
        return FastDataLoader(x, y, num_labels=outputs, batch_size=material.batch_size, shuffle=False)

    rule = OptimizerConfigurator({"name": "SGD", "lr": material.lr})
    clients = [
        Client(place, loader(0, place), None, rule, nn.CrossEntropyLoss(), local_epochs=1, persistency=False)
        for place in range(len(material.x))
    ]
    server = Server(material.network(), None, clients)
    clock = Clock()

    class Rounds(FederationObserver):
        def start_round(self, round: int, global_model: object) -> None:  # noqa: A002
            del global_model
            for place, client in enumerate(clients):
                client.train_set = loader(round - 1, place)

        def end_round(self, round: int) -> None:  # noqa: A002
            del round
            clock.round_done()

    federation = CentralizedFL(len(clients), None, {}, clients=clients, server=server)
    federation.set_callbacks([Rounds()])
    clock = Clock()
    federation.run(job.rounds, 1.0, finalize=False)
    return Played(nn.utils.parameters_to_vector(server.model.parameters()).to(torch.float32), clock.seconds)
