"""flgo 0.4.4 (Wang et al.): its FedAvg server and clients on a task of ours, in one process.

A task of flgo is a benchmark with a pipe, which hands out data, and a calculator, which makes loaders and losses; ours gives
each client its batches in the order of training. Server, clients, communicator and simulator are flgo's.
"""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import Tensor, nn

from simulations.bench.job import Clock, Contestant, Job, Played
from simulations.bench.peers._torchvision import stand_in

CONTESTANTS = [Contestant("flgo 0.4.4, 1 process", "flgo", environment="flgo")]
BENCHMARK = "bench_task"


class _Own:
    """One client's samples, which come in another order each round."""

    def __init__(self, job: Job, client: int) -> None:
        self.material, self.client, self.turn = job.material, client, 0

    def __len__(self) -> int:
        return len(self.material.y[0]) * self.material.orders.shape[2]

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        place = self.material.participants[self.turn].index(self.client)
        self.turn += 1
        return list(self.material.batches(self.turn - 1, place))


def play(job: Job) -> Played:
    """Run the rounds."""
    stand_in()
    sys.argv = sys.argv[:1]  # flgo reads options of its own from there
    import flgo
    import flgo.algorithm.fedavg
    from flgo.benchmark.base import BasicTaskPipe
    from flgo.benchmark.toolkits.cv.classification import GeneralCalculator
    from flgo.experiment.logger import BasicLogger
    from flgo.utils.fmodule import FModule

    material, clock = job.material, Clock()
    clients = [f"client{number}" for number in range(len(material.x))]
    assert len(material.participants[0]) == len(clients), "only rounds of all clients are the same work"

    class Pipe(BasicTaskPipe):
        def load_data(self, options: Any) -> dict[str, Any]:
            del options
            owns = {name: {"train": _Own(job, number), "val": None} for number, name in enumerate(clients)}
            return {"server": {"test": None, "val": None}, **owns}

    class Calculator(GeneralCalculator):
        def get_dataloader(self, dataset: _Own, *_: object, **__: object) -> list[tuple[Tensor, Tensor]]:
            return dataset.batches()

    class Network(FModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = material.network()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    class Server(flgo.algorithm.fedavg.Server):
        def iterate(self) -> Any:
            updated = super().iterate()
            clock.round_done()
            return updated

    class Models(SimpleNamespace):
        @staticmethod
        def init_global_module(party: Any) -> None:
            if party.id == -1:
                party.set_model(Network())

    _register(job, clients, Pipe, Calculator)
    algorithm = ModuleType("fedavg")
    algorithm.Server, algorithm.Client = Server, flgo.algorithm.fedavg.Client  # type: ignore[attr-defined]
    options = {
        "num_rounds": job.rounds,
        "num_epochs": 1,
        "batch_size": material.batch_size,
        "learning_rate": material.lr,
        "optimizer": "SGD",
        "sample": "full",
        "aggregate": "uniform",
        "proportion": 1.0,
        "train_holdout": 0.0,
        "eval_interval": 0,
        "no_log_console": True,
        "no_tqdm": True,
    }
    runner = flgo.init(str(job.folder / "task"), algorithm, options, model=Models, Logger=BasicLogger)
    clock.restart()
    runner.run()
    return Played(nn.utils.parameters_to_vector(runner.model.parameters()), clock.seconds)


def _register(job: Job, clients: list[str], pipe: type, calculator: type) -> None:
    """Make a benchmark that can be imported, and the folder of a task of it."""
    core = ModuleType(f"{BENCHMARK}.core")
    core.TaskPipe, core.TaskCalculator = pipe, calculator  # type: ignore[attr-defined]
    sys.modules |= {BENCHMARK: ModuleType(BENCHMARK), core.__name__: core}
    folder = job.folder / "task"
    folder.mkdir()
    (folder / "info").write_text(json.dumps({"benchmark": BENCHMARK}), encoding="utf-8")
    (folder / "data.json").write_text(json.dumps({"client_names": clients}), encoding="utf-8")
