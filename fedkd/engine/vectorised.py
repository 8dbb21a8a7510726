"""The vectorised engine: a stage of many clients of one architecture at once, by `torch.func.vmap` over stacked weights.

It does what `engine/sequential.py` does for each of them, to float tolerance. Clients of unequal size share steps as long as
they have any: they are sorted by their number of steps, and the stack shrinks to those that still train.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from fedkd.clients import Stage
from fedkd.engine.cohort import Networks, Source
from fedkd.engine.compiling import rung
from fedkd.engine.dropout import Call, calls_in
from fedkd.engine.gradients import Batches, ClientLoss, Tensors
from fedkd.engine.optimizers import Stacked
from fedkd.engine.precision import Precision
from fedkd.engine.recording import played
from fedkd.engine.schedule import Schedule
from fedkd.models.base import run_with
from fedkd.tasks import Task

_ALONE = (nn.modules.batchnorm._BatchNorm, nn.RNNBase, nn.RNNCellBase)  # noqa: SLF001  (the common base of BatchNorm1d to 3d)
"""Layers that `vmap` cannot carry: running statistics are written in place, and would be lost without an error; recurrent kernels are fused."""


def bears_vmap(network: nn.Module) -> bool:
    """Return whether networks like this one can be trained at once."""
    return not any(isinstance(module, _ALONE) for module in network.modules())


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
    compiles: bool = False,
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
        compiles: whether steps go through PyTorch's compiler.

    Returns:
        Each client's mean loss over its last pass, NaN without samples.
    """
    sizes = [len(rows) for rows in source.positions]
    order = sorted(range(len(sizes)), key=lambda client: -stage.plan.steps(sizes[client]))
    arrangement = torch.tensor(order, dtype=torch.long)
    is_sorted = order == list(range(len(order)))
    filled = rung(len(order), len(order)) if compiles else len(order)
    if filled > len(order):  # the last one stands in for clients that there are not
        arrangement = torch.cat([arrangement, arrangement[-1:].expand(filled - len(order))])
    in_place = is_sorted and filled == len(order)
    mine = networks if in_place else networks.taken(arrangement)
    cohort = _Cohort(
        stage,
        mine,
        source,
        arrangement.tolist(),
        {name: tensor if in_place else tensor[arrangement] for name, tensor in memory.items()},
        task,
        [dropout[client] for client in order] if dropout else [],
        precision,
        compiles=compiles,
    )
    schedule = Schedule.draw(
        stage.plan, [sizes[client] for client in order], [generators[client] for client in order]
    )
    losses = cohort.train(schedule)
    if not in_place:
        networks.put(arrangement[: len(order)], mine)
    said = dict(zip(order, losses, strict=True))
    return [said[client] for client in range(len(order))]


class _Cohort:
    """Clients sorted by their number of steps, in one stage; steps that are compiled may have more clients than there are."""

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
        *,
        compiles: bool,
    ) -> None:
        self._stage, self._networks, self._source = stage, networks, source
        self._positions = _beside_each_other(source.positions, order)
        self._pairs = _beside_each_other(source.pairs, order) if source.pairs else None
        self._said = torch.tensor([source.said[client] if source.said else 0 for client in order])
        self._memory, self._task, self._order = memory, task, order
        self._dropout, self._precision, self._compiles = dropout, precision, compiles
        self._samplewise = stage.samplewise and task.samplewise
        self._calls: dict[int, tuple[Call, ...]] = {}
        self._losses: dict[tuple[Call, ...], ClientLoss] = {}
        self._stacks: dict[int, dict[str, Tensors]] = {}

    def train(self, schedule: Schedule) -> list[float]:
        """Run every step of the schedule and return each client's mean loss over its last pass."""
        networks = self._networks
        networks.template.train()
        optimizer = Stacked(self._stage.plan.optimizer, networks.trained)
        last = schedule.last.to(self._source.targets.device, _dtype(networks))
        said = torch.zeros_like(last)
        for step, active in enumerate(schedule.active):
            gradients, losses = self._gradients(
                schedule.rows[:active, step], schedule.counts[:active, step], *schedule.widths[step]
            )
            optimizer.step(gradients, active=active, rates=schedule.rates(step, active))
            networks.follow(self._stage.after_step, active)
            said[:active, step] = losses
        # Where nothing is added, a loss that is not finite must not become NaN by a weight of 0.
        sums = torch.where(last > 0, said * last, 0.0).sum(dim=1)
        return (sums / last.sum(dim=1)).tolist()

    def _gradients(
        self, rows: Int[Tensor, "active batch"], counts: Int[Tensor, " active"], least: int, most: int
    ) -> tuple[Tensors, Tensor]:
        """Return each client's gradients and loss on its batch, of which the first `counts` rows count, from `least` to `most`."""
        everyone = slice(0, len(rows))
        full = least == rows.shape[1]
        if self._compiles and (full or self._samplewise):
            return self._compiled(rows, None if full else counts)
        if least == most:
            return played(*self._step(everyone, rows[:, :most], None))
        if self._samplewise and not self._dropout:
            return played(*self._step(everyone, rows[:, :most], counts))
        gradients: dict[str, Tensor] = {}
        losses: Tensor | None = None
        for count in sorted(set(counts.tolist())):
            some = (counts == count).nonzero().flatten()
            part, values = played(*self._step(some, rows[some, :count], None))
            losses = values.new_zeros(len(rows)) if losses is None else losses
            losses[some] = values
            for name, gradient in part.items():
                if name not in gradients:
                    gradients[name] = gradient.new_zeros(len(rows), *gradient.shape[1:])
                gradients[name][some] = gradient
        assert losses is not None
        return gradients, losses

    def _compiled(
        self, rows: Int[Tensor, "active batch"], counts: Int[Tensor, " active"] | None
    ) -> tuple[Tensors, Tensor]:
        """Return gradients and losses from a compiled step, which comes in few sizes: of what it computes, some is left."""
        active, size = len(rows), rung(len(self._order), len(rows))
        rows = torch.cat([rows, rows.new_zeros(size - active, rows.shape[1])])
        if counts is not None:
            counts = torch.cat([counts, counts.new_zeros(size - active)])
        gradients, losses = played(*self._step(slice(0, size), rows, counts), compiles=True)
        return {name: gradient[:active] for name, gradient in gradients.items()}, losses[:active]

    def _step(
        self,
        clients: slice | Int[Tensor, " some"],
        rows: Int[Tensor, "some batch"],
        counts: Int[Tensor, " some"] | None,
    ) -> tuple[ClientLoss, Batches]:
        """Return the loss of some clients, the first ones or any, and all that it looks at; with counts, not every row counts alike."""
        source = self._source
        batch = self._batch(clients, rows, counts)
        kept, calls = self._drawn(clients, batch)
        if calls not in self._losses:
            self._losses[calls] = ClientLoss(
                self._stage.loss,
                self._networks.template,
                self._task,
                self._precision,
                calls,
                self._stage.taps,
            )
        given = Batches(
            **self._stacks_of(clients),
            inputs=dict(source.inputs),
            batch=batch,
            kept=kept,
            public=dict(source.public),
        )
        return self._losses[calls], given

    def _stacks_of(self, clients: slice | Int[Tensor, " some"]) -> dict[str, Tensors]:
        """Return what each of some clients has; of the first ones it is looked up, since a stack changes in place."""
        networks = self._networks
        if isinstance(clients, slice) and clients.stop in self._stacks:
            return self._stacks[clients.stop]
        groups = {
            "trained": networks.trained,
            "frozen": networks.frozen,
            "buffers": networks.buffers,
            "memory": self._memory,
        }
        found = {
            group: {name: stack[clients] for name, stack in stacks.items()}
            for group, stacks in groups.items()
        }
        if isinstance(clients, slice):
            self._stacks[clients.stop] = found
        return found

    def _batch(
        self,
        clients: slice | Int[Tensor, " some"],
        rows: Int[Tensor, "some batch"],
        counts: Int[Tensor, " some"] | None,
    ) -> Tensors:
        """Return where the batches of some clients are gathered, and how much each row counts where not all do."""
        source = self._source
        device = source.targets.device
        batch = {"targets": source.targets, "at": self._positions[clients].gather(1, rows).to(device)}
        if self._pairs is not None:
            batch["pairs"] = self._pairs[clients].gather(1, rows).to(device)
        if source.teacher is not None:
            batch["teacher"] = source.teacher
            batch["said"] = (self._said[clients][:, None] + rows).to(device)
        if counts is not None:
            within = torch.arange(rows.shape[1]) < counts[:, None]
            share = within.to(_dtype(self._networks)) / counts[:, None].clamp(min=1)
            batch["share"] = share.to(device)
        return batch

    def _drawn(
        self, clients: slice | Int[Tensor, " some"], batch: Tensors
    ) -> tuple[Tensors, tuple[Call, ...]]:
        """Return what each client keeps at each call of dropout, from a generator of its own, and these calls."""
        if not self._dropout:
            return {}, ()
        calls = self._calls_of(batch)
        numbers = list(range(clients.stop)) if isinstance(clients, slice) else clients.tolist()
        drawn = [
            [call.draw(self._dropout[client]) for call in calls]
            for client in numbers
            if client < len(self._dropout)
        ]
        drawn += drawn[-1:] * (len(numbers) - len(drawn))
        device = self._source.targets.device
        stacks = [torch.stack(column).to(device) for column in zip(*drawn, strict=True)]
        return {str(call): stack for call, stack in enumerate(stacks)}, calls

    def _calls_of(self, batch: Tensors) -> tuple[Call, ...]:
        """Return the calls of dropout on a batch of this size, first on the clients' own samples, then on public ones."""
        width = batch["at"].shape[1]
        if width not in self._calls:
            networks, source = self._networks, self._source
            seen = [{view: x[batch["at"][0]] for view, x in source.inputs.items()}]
            if "pairs" in batch:
                seen.append({view: x[batch["pairs"][0]] for view, x in source.public.items()})
            stacks = {**networks.trained, **networks.frozen, **networks.buffers}
            weights = {name: stack[0] for name, stack in stacks.items()}
            self._calls[width] = calls_in(
                lambda: [run_with(networks.template, weights, inputs) for inputs in seen]
            )
        return self._calls[width]


def _beside_each_other(
    rows: Sequence[Int[Tensor, " _"]], order: Sequence[int]
) -> Int[Tensor, "clients longest"]:
    """Return the rows of clients in this order, filled up with zeros."""
    return nn.utils.rnn.pad_sequence([rows[client] for client in order], batch_first=True)


def _dtype(networks: Networks) -> torch.dtype:
    return next(iter(networks.trained.values())).dtype
