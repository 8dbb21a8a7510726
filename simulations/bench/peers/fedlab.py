"""FedLab 1.3.0 (Zeng et al.): its SyncServerHandler and serial SGD trainer in its standalone pipeline, in one process.

Its data set is asked for a loader by client; it is given the batches in the order of training, which a DataLoader of
the samples would bring more slowly.
"""

import torch
from torch import Tensor, nn

from simulations.bench.job import Clock, Contestant, Job, Played
from simulations.bench.peers._torchvision import stand_in

CONTESTANTS = [Contestant("FedLab 1.3.0, 1 process", "fedlab", environment="fedlab")]


class _Data:
    """Hands out the batches of a client in the current round."""

    def __init__(self, job: Job) -> None:
        self.material, self.turn = job.material, 0

    def get_dataloader(self, client: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
        del batch_size
        return list(self.material.batches(self.turn, self.material.participants[self.turn].index(client)))


def play(job: Job) -> Played:
    """Run the rounds."""
    stand_in()
    from fedlab.contrib.algorithm.basic_client import SGDSerialClientTrainer
    from fedlab.contrib.algorithm.basic_server import SyncServerHandler
    from fedlab.core.standalone import StandalonePipeline

    material, data = job.material, _Data(job)
    share = len(material.participants[0]) / len(material.x)
    assert share == 1.0, "FedLab draws its clients itself: only rounds of all clients are the same work"
    trainer = SGDSerialClientTrainer(material.network(), len(material.x))
    trainer.setup_dataset(data)
    trainer.setup_optim(1, material.batch_size, material.lr)
    handler = SyncServerHandler(material.network(), job.rounds, share)
    clock = Clock()

    class Pipeline(StandalonePipeline):
        def evaluate(self) -> None:
            clock.round_done()
            data.turn += 1

    Pipeline(handler, trainer).main()
    return Played(nn.utils.parameters_to_vector(handler.model.parameters()).to(torch.float32), clock.seconds)
