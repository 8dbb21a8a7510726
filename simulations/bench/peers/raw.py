"""Plain PyTorch loops of FedAvg in one process or in several, with nothing between them and the work.

`idiom` is what a good engineer writes: a network and an optimiser made once, weights copied into them for each client.
`tuned` leaves out `torch.optim` and `backward` as well: gradients by `autograd.grad`, one fused update a step.
`shift` trains on samples that were moved on by so many places: other batches, which the parity check must see.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simulations.bench.job import Clock, Contestant, Job, Played
from simulations.bench.material import Material
from simulations.bench.peers._crew import crew

CONTESTANTS = [
    Contestant("raw loop, 1 process", "raw", {"style": "idiom", "processes": 1}),
    Contestant("raw loop, 2 processes", "raw", {"style": "idiom", "processes": 2}, processes=2),
    Contestant("raw loop, tuned, 2 processes", "raw", {"style": "tuned", "processes": 2}, processes=2),
]


class Loop:
    """A network that is trained for one client after the other; its weights are one row, so that loading them is one copy."""

    def __init__(self, material: Material, style: str, device: str = "cpu") -> None:
        self.lr, self.style = material.lr, style
        self.network = material.network().to(device)
        self.parameters = list(self.network.parameters())
        self.optimizer = torch.optim.SGD(self.parameters, lr=material.lr)
        self.row = nn.utils.parameters_to_vector(self.parameters).detach().clone()
        nn.utils.vector_to_parameters(self.row, self.parameters)

    def step(self, x: Tensor, y: Tensor) -> None:
        """Make a step on a batch; `y` are labels or probabilities."""
        if self.style == "tuned":
            gradients = torch.autograd.grad(F.cross_entropy(self.network(x), y), self.parameters)
            with torch.no_grad():
                torch._foreach_add_(self.parameters, gradients, alpha=-self.lr)
        else:
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.network(x), y).backward()
            self.optimizer.step()


class Averaging:
    """The work of FedAvg's clients."""

    def __init__(self, job: Job) -> None:
        self.material, self.device = job.material, job.options.get("device", "cpu")
        self.loop = Loop(job.material, job.options["style"], self.device)
        self.shift = int(job.options.get("shift", 0))

    def __call__(self, down: Tensor, turn: int, places: Sequence[int]) -> Tensor:
        """Train each client from the weights that were sent, and return the sum of what they became."""
        # In float32 the sum of a thousand clients would round away more than contestants may differ by.
        total = torch.zeros_like(self.loop.row, dtype=torch.float64)
        for place in places:
            self.loop.row.copy_(down)
            x, y = (tensor.to(self.device) for tensor in self.material.samples(turn, place))
            if self.shift:
                x, y = x.roll(self.shift, 0), y.roll(self.shift, 0)
            size = self.material.batch_size
            for batch, labels in zip(x.split(size), y.split(size), strict=True):
                self.loop.step(batch, labels)
            total += self.loop.row
        return total.cpu()


def play(job: Job) -> Played:
    """Run the rounds."""
    weights = job.material.initial.clone().share_memory_()
    with crew(job, int(job.options["processes"]), Averaging, weights, weights.double()) as total:
        clock = Clock()
        for turn in range(job.rounds):
            weights.copy_(total(turn) / len(job.material.participants[turn]))
            clock.round_done()
    return Played(weights, clock.seconds)
