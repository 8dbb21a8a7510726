"""The readable engine: one client after the other, one stage after the other, plain PyTorch."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedkd.clients import Stage, Step
from fedkd.data.samples import Samples
from fedkd.models.base import run_network
from fedkd.tasks import Task
from fedkd.training import fit


def run_stage(
    stage: Stage,
    network: nn.Module,
    samples: Samples,
    *,
    teacher: Tensor | None,
    memory: Mapping[str, Tensor],
    task: Task,
    generator: torch.Generator,
) -> float:
    """Train a client's network in place through one stage.

    Args:
        stage: the loss and the plan.
        network: trained in place.
        samples: the samples of the stage's source.
        teacher: [samples, outputs] what was received about these samples; none on private data.
        memory: what the strategy remembered.
        task: passed on to the loss.
        generator: draws the order of the samples.

    Returns:
        Mean loss over the last pass, NaN without samples.
    """
    parameters = dict(network.named_parameters())

    def loss(rows: Tensor) -> Tensor:
        outputs = run_network(network, {view: x[rows] for view, x in samples.inputs.items()})
        said = None if teacher is None else teacher[rows]
        return stage.loss(Step(outputs, samples.targets[rows], said, parameters, memory, task))

    return fit(network, loss, size=len(samples), plan=stage.plan, generator=generator)
