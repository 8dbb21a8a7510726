"""The vectorised engine: a stage of many clients of one architecture at once, by `torch.func.vmap` over stacked weights.

It does what `engine/sequential.py` does for each of them, to float tolerance. Clients of unequal size share steps as long as
they have any: they are sorted by their number of steps, and the stack shrinks to those that still train.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn
from torch.func import vmap

from fedkd.clients import Stage, Step
from fedkd.engine.cohort import Networks, Source
from fedkd.engine.dropout import Call, calls_in, playing
from fedkd.engine.optimizers import Stacked
from fedkd.engine.precision import Precision, in_precision
from fedkd.engine.schedule import Schedule
from fedkd.models.base import Outputs, run_with
from fedkd.objectives import Taps
from fedkd.tasks import Task

Stacks = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]
"""Of some clients: trained and frozen parameters, buffers, memory."""


def run_stage_together(
    stage: Stage,
    networks: Networks,
    source: Source,
    *,
    memory: Mapping[str, Shaped[Tensor, "_ ..."]],
    task: Task,
    generators: Sequence[torch.Generator],
    dropout: Sequence[torch.Generator] = (),
    precision: Precision = "float32",
) -> list[float]:
    """Train a cohort in place through one stage.

    Args:
        stage: the loss and the plan, the same for all.
        networks: trained in place.
        source: the samples of the stage.
        memory: what the strategy remembered, stacked.
        task: passed on to the loss.
        generators: draw the order of each client's samples.
        dropout: draw what is dropped of each client's activations; none for networks without dropout.
        precision: of forward and backward passes.

    Returns:
        Each client's mean loss over its last pass, NaN without samples.
    """
    sizes = [len(rows) for rows in source.positions]
    order = sorted(range(len(sizes)), key=lambda client: -stage.plan.steps(sizes[client]))
    arrangement = torch.tensor(order, dtype=torch.long)
    is_sorted = order == list(range(len(order)))
    mine = networks if is_sorted else networks.taken(arrangement)
    cohort = _Cohort(
        stage,
        mine,
        source,
        order,
        {name: tensor if is_sorted else tensor[arrangement] for name, tensor in memory.items()},
        task,
        [dropout[client] for client in order] if dropout else [],
        precision,
    )
    schedule = Schedule.draw(
        stage.plan, [sizes[client] for client in order], [generators[client] for client in order]
    )
    losses = cohort.train(schedule)
    if not is_sorted:
        networks.put(arrangement, mine)
    said = dict(zip(order, losses, strict=True))
    return [said[client] for client in range(len(order))]


class _Cohort:
    """Clients sorted by their number of steps, in one stage."""

    def __init__(
        self,
        stage: Stage,
        networks: Networks,
        source: Source,
        order: Sequence[int],
        memory: Mapping[str, Tensor],
        task: Task,
        dropout: Sequence[torch.Generator],
        precision: Precision,
    ) -> None:
        self._stage, self._networks, self._source = stage, networks, source
        self._positions = nn.utils.rnn.pad_sequence(
            [source.positions[client] for client in order], batch_first=True
        )
        self._said = torch.tensor([source.said[client] if source.said else 0 for client in order])
        self._memory, self._task, self._order = memory, task, order
        self._dropout, self._precision = dropout, precision
        self._calls: dict[int, tuple[Call, ...]] = {}

    def train(self, schedule: Schedule) -> list[float]:
        """Run every step of the schedule and return each client's mean loss over its last pass."""
        networks, device = self._networks, self._source.targets.device
        networks.template.train()
        optimizer = Stacked(self._stage.plan.optimizer, networks.trained)
        sums = torch.zeros(len(self._order), device=device, dtype=_dtype(networks))
        last = schedule.last.to(sums)
        for step in range(schedule.length):
            active = schedule.active(step)
            counts = schedule.counts[:active, step]
            gradients, losses = self._gradients(schedule.rows[:active, step], counts)
            optimizer.step(gradients, active=active, rates=schedule.rates(step, active))
            # Where nothing is added, a loss that is not finite must not become NaN by a weight of 0.
            sums[:active] += torch.where(last[:active, step] > 0, losses * last[:active, step], 0.0)
        return (sums / last.sum(dim=1)).tolist()

    def _gradients(
        self, rows: Int[Tensor, "active batch"], counts: Int[Tensor, " active"]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return each client's gradients and loss on its batch, of which the first `counts` rows count."""
        everyone = torch.arange(len(rows))
        width = int(counts.max())
        if bool((counts == width).all()):
            return self._together(everyone, rows[:, :width])
        if self._stage.samplewise and not self._dropout:
            return self._together(everyone, rows[:, :width], counts)
        gradients: dict[str, Tensor] = {}
        losses: Tensor | None = None
        for count in sorted(set(counts.tolist())):
            some = (counts == count).nonzero().flatten()
            part, values = self._together(some, rows[some, :count])
            losses = values.new_zeros(len(rows)) if losses is None else losses
            losses[some] = values
            for name, gradient in part.items():
                if name not in gradients:
                    gradients[name] = gradient.new_zeros(len(rows), *gradient.shape[1:])
                gradients[name][some] = gradient
        assert losses is not None
        return gradients, losses

    def _together(
        self,
        clients: Int[Tensor, " some"],
        rows: Int[Tensor, "some batch"],
        counts: Int[Tensor, " some"] | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return gradients and losses of clients whose batches have one size; with counts, as if they had."""
        batch = self._batch(clients, rows, counts)
        first = len(clients) == int(clients[-1]) + 1  # the first clients of the stack: no copy is needed
        stacks = self._stacks(slice(0, len(clients)) if first else clients)
        kept = self._drawn(clients, batch["inputs"])
        trained, frozen, buffers, memory = stacks
        learning = {name: weight.detach().requires_grad_() for name, weight in trained.items()}
        # One backward pass through the sum gives each client its own gradient, since no loss depends on another's weights.
        losses: Tensor = vmap(self._loss)(learning, frozen, buffers, memory, batch, kept)
        found = torch.autograd.grad(losses.sum(), list(learning.values()), allow_unused=True)
        # What a loss does not depend on is left out: an optimiser leaves it alone, weight decay included.
        gradients = {name: one for name, one in zip(learning, found, strict=True) if one is not None}
        return gradients, losses.detach()

    def _batch(
        self,
        clients: Int[Tensor, " some"],
        rows: Int[Tensor, "some batch"],
        counts: Int[Tensor, " some"] | None,
    ) -> dict[str, Any]:
        """Gather the batches of some clients, and how much each row counts where not all do."""
        source = self._source
        device = source.targets.device
        at = self._positions[clients[:, None], rows].to(device)
        batch: dict[str, Any] = {
            "inputs": {view: x[at] for view, x in source.inputs.items()},
            "targets": source.targets[at],
        }
        if source.teacher is not None:
            batch["teacher"] = source.teacher[(self._said[clients][:, None] + rows).to(device)]
        if counts is not None:
            within = torch.arange(rows.shape[1]) < counts[:, None]
            batch["share"] = (within.to(_dtype(self._networks)) / counts[:, None]).to(device)
        return batch

    def _stacks(self, chosen: slice | int | Int[Tensor, " some"]) -> Stacks:
        """Return what the loss of some clients, or of one, wants beside their batches."""
        networks = self._networks

        def of(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: stack[chosen] for name, stack in group.items()}

        return of(networks.trained), of(networks.frozen), of(networks.buffers), of(self._memory)

    def _drawn(self, clients: Int[Tensor, " some"], inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what each client keeps at each call of dropout, from a generator of its own."""
        if not self._dropout:
            return []
        calls = self._calls_of({view: x[0] for view, x in inputs.items()})
        drawn = [[call.draw(self._dropout[client]) for call in calls] for client in clients.tolist()]
        device = self._source.targets.device
        return [torch.stack(column).to(device) for column in zip(*drawn, strict=True)]

    def _calls_of(self, inputs: Mapping[str, Tensor]) -> tuple[Call, ...]:
        """Return the calls of dropout on a batch of this size."""
        width = len(next(iter(inputs.values())))
        if self._dropout and width not in self._calls:
            trained, frozen, buffers, _ = self._stacks(0)
            weights = {**trained, **frozen, **buffers}
            self._calls[width] = calls_in(lambda: run_with(self._networks.template, weights, inputs))
        return self._calls.get(width, ())

    def _loss(
        self,
        trained: Mapping[str, Tensor],
        frozen: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        memory: Mapping[str, Tensor],
        batch: Mapping[str, Any],
        kept: Sequence[Tensor],
    ) -> Tensor:
        """Return the loss of one client's batch; `vmap` runs it for all."""
        parameters = {**trained, **frozen}
        with contextlib.ExitStack() as stack:
            if self._dropout:
                calls = self._calls[len(batch["targets"])]
                stack.enter_context(playing(list(zip(calls, kept, strict=True))))
            stack.enter_context(in_precision(self._precision, batch["targets"].device.type))
            layers = stack.enter_context(Taps(self._networks.template, self._stage.taps))
            outputs = run_with(self._networks.template, {**parameters, **buffers}, batch["inputs"])
        if self._precision != "float32":
            outputs = Outputs(*(said.to(_dtype(self._networks)) for said in outputs))
            layers = {name: layer.to(_dtype(self._networks)) for name, layer in layers.items()}

        def loss(outputs: Outputs, targets: Tensor, teacher: Tensor | None) -> Tensor:
            return self._stage.loss(Step(outputs, targets, teacher, parameters, memory, self._task, layers))

        if "share" not in batch:
            return loss(outputs, batch["targets"], batch.get("teacher"))
        return _weighted(loss, outputs, batch)


def _weighted(loss: Callable[..., Tensor], outputs: Outputs, batch: Mapping[str, Any]) -> Tensor:
    """Return the mean of the losses of the single samples that count, for losses that are such a mean."""

    def of_one(logits: Tensor, features: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        said = None if teacher is None else teacher[None]
        return loss(Outputs(logits[None], features[None]), targets[None], said)

    teacher = batch.get("teacher")
    each = vmap(of_one, in_dims=(0, 0, 0, None if teacher is None else 0))(
        outputs.logits, outputs.features, batch["targets"], teacher
    )
    weighted: Tensor = each * batch["share"]
    return weighted.sum()


def _dtype(networks: Networks) -> torch.dtype:
    return next(iter(networks.trained.values())).dtype
