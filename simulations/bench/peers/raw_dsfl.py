"""Plain PyTorch loops of DS-FL (Itahara et al., 2020): digest the consensus, train, say what the proxy set is; ERA; distil."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from simulations.bench.job import DSFL, Clock, Contestant, Job, Played
from simulations.bench.peers._crew import crew
from simulations.bench.peers.raw import Loop

CONTESTANTS = [
    Contestant("raw loop, 1 process", "raw_dsfl", {"style": "idiom", "processes": 1}, frozenset({DSFL})),
    Contestant(
        "raw loop, 2 processes",
        "raw_dsfl",
        {"style": "idiom", "processes": 2},
        frozenset({DSFL}),
        processes=2,
    ),
    Contestant(
        "raw loop, tuned, 2 processes",
        "raw_dsfl",
        {"style": "tuned", "processes": 2},
        frozenset({DSFL}),
        processes=2,
    ),
]


class Distilling:
    """The work of DS-FL's clients, which keep their weights; a process has the same clients in every round."""

    def __init__(self, job: Job) -> None:
        self.material = job.material
        self.loop = Loop(job.material, job.options["style"])
        self.owns = job.material.array("owns")
        self.proxy, self.digests = job.material.array("proxy"), job.material.array("digests")

    def __call__(self, down: Tensor, turn: int, places: Sequence[int]) -> Tensor:
        """Return the sum of the clients' probabilities on the proxy set."""
        total = torch.zeros_like(down)
        for place in places:
            own = self.owns[self.material.participants[turn][place]]
            self.loop.row.copy_(own)
            if turn:
                learn(self.loop, self.proxy, down, self.digests[turn, place], self.material.batch_size)
            for x, y in self.material.batches(turn, place):
                self.loop.step(x, y)
            own.copy_(self.loop.row)
            with torch.no_grad():
                total += F.softmax(self.loop.network(self.proxy), dim=-1)
        return total


def learn(loop: Loop, inputs: Tensor, targets: Tensor, order: Tensor, size: int) -> None:
    """Train on probabilities in a given order of samples; the gradient is that of the Kullback-Leibler divergence."""
    rows = order.flatten().long()
    for x, y in zip(inputs[rows].split(size), targets[rows].split(size), strict=True):
        loop.step(x, y)


def play(job: Job) -> Played:
    """Run the rounds."""
    material = job.material
    student, proxy, distils = (
        Loop(material, job.options["style"]),
        material.array("proxy"),
        material.array("distils"),
    )
    consensus = torch.zeros(len(proxy), material.plan["network"]["outputs"]).share_memory_()
    with crew(job, int(job.options["processes"]), Distilling, consensus, consensus) as total:
        clock = Clock()
        for turn in range(job.rounds):
            mean = total(turn) / len(material.participants[turn])
            consensus.copy_(F.softmax(mean / material.plan["temperature"], dim=-1))
            learn(student, proxy, consensus, distils[turn], material.batch_size)
            clock.round_done()
    return Played(student.row.clone(), clock.seconds)
