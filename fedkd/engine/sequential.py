"""The readable engine: one client after the other, one stage after the other, plain PyTorch."""

import contextlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedkd.clients import Stage, Step
from fedkd.data.samples import Samples
from fedkd.engine.dropout import drawing
from fedkd.engine.precision import Precision, in_precision, laid_out
from fedkd.models._layout import lies_channels_last
from fedkd.models.base import Outputs, run_network
from fedkd.objectives import Taps
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
    paired: Mapping[str, Tensor] | None = None,
    dropout: torch.Generator | None = None,
    precision: Precision = "float32",
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
        paired: view -> [samples, ...], the public sample beside each; none without.
        dropout: draws what dropout leaves out; none for networks without dropout.
        precision: of forward and backward passes.

    Returns:
        Mean loss over the last pass, NaN without samples.
    """
    parameters = dict(network.named_parameters())
    inputs = dict(samples.inputs)
    if lies_channels_last(network):
        inputs = {view: laid_out(x) for view, x in inputs.items()}
        paired = None if paired is None else {view: laid_out(x) for view, x in paired.items()}
    dtype = next(iter(parameters.values())).dtype

    def forward(inputs: Mapping[str, Tensor], rows: Tensor) -> Outputs:
        with in_precision(precision, samples.targets.device.type):
            said = run_network(network, {view: x.index_select(0, rows) for view, x in inputs.items()})
        return said if precision == "float32" else said.each(lambda value: value.to(dtype))

    def loss(rows: Tensor) -> Tensor:
        with Taps(network, stage.taps) as heard:
            outputs = forward(inputs, rows)
        layers = heard if precision == "float32" else {name: layer.to(dtype) for name, layer in heard.items()}
        public = None if paired is None else forward(paired, rows)
        said = None if teacher is None else teacher[rows]
        return stage.loss(
            Step(outputs, samples.targets[rows], said, parameters, memory, task, layers, public)
        )

    def after_step() -> None:
        with torch.no_grad():
            for name, value in stage.after_step(parameters).items():
                parameters[name].copy_(value)

    with contextlib.nullcontext() if dropout is None else drawing(dropout):
        return fit(
            network, loss, size=len(samples), plan=stage.plan, generator=generator, after_step=after_step
        )
