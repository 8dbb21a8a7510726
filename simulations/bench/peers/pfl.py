"""pfl-research 0.6.0 (Apple): its FederatedAveraging on its SimulatedBackend, in one process or under torchrun with gloo.

A user's data set is given with its samples in the order of training, all epochs after one another, because pfl does not
shuffle. With several processes it hands out users in turn and sums with `torch.distributed.all_reduce`.
"""

import itertools
import os
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simulations.bench.job import Clock, Contestant, Job, Played

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
CONTESTANTS = [
    Contestant("pfl 0.6.0, 1 process", "pfl", environment="pfl"),
    Contestant("pfl 0.6.0, 2 processes", "pfl", processes=2, environment="pfl", launcher=TORCHRUN),
]


class _Model(nn.Module):
    """A network with the two methods that pfl asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.network(x), y)

    def metrics(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        from pfl.metrics import Weighted

        return {"loss": Weighted(float(self.loss(x, y)) * len(y), len(y))}


def play(job: Job) -> Played | None:
    """Run the rounds; of several processes, the first answers."""
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.callback.base import TrainingProcessCallback
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.hyperparam.base import NNTrainHyperParams
    from pfl.metrics import Metrics
    from pfl.model.pytorch import PyTorchModel

    material, clock = job.material, None

    class Ends(TrainingProcessCallback):
        def on_train_begin(self, *, model: Any) -> Metrics:
            nonlocal clock
            del model
            clock = Clock()
            return Metrics()

        def after_central_iteration(self, aggregate_metrics: Any, model: Any, *, central_iteration: int):  # noqa: ANN202
            del aggregate_metrics, model, central_iteration
            clock.round_done()
            return False, Metrics()

    # In every round the users come in the order of the cohort.
    users = itertools.cycle(
        (turn, place) for turn in range(job.rounds) for place in range(len(material.participants[turn]))
    )
    data = FederatedDataset(lambda user: Dataset(material.samples(*user)), lambda: next(users))
    net = _Model(material.network())
    model = PyTorchModel(net, torch.optim.SGD, torch.optim.SGD(net.parameters(), lr=1.0))
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=job.rounds,
            evaluation_frequency=10**9,
            train_cohort_size=len(material.participants[0]),
            val_cohort_size=None,
        ),
        SimulatedBackend(data, data),
        model,
        NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=material.lr, local_batch_size=material.batch_size
        ),
        callbacks=[Ends()],
    )
    if int(os.environ.get("RANK", "0")):
        return None
    return Played(nn.utils.parameters_to_vector(net.parameters()), clock.seconds)
