"""One step of a cohort as a function of tensors: each client's gradients and loss on its batch, by `torch.func.vmap`.

It looks at nothing but its arguments, so it can be run as it is, or recorded once (`engine/recording.py`).
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from fedkd.clients import Step
from fedkd.engine.dropout import Call, playing
from fedkd.engine.kernels import stacked_kernels
from fedkd.engine.precision import Precision, in_precision
from fedkd.models.base import Outputs, run_with
from fedkd.objectives import Taps
from fedkd.tasks import Task

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batches:
    """All tensors that a step of some clients looks at; a stack has a slice for each of them.

    Args:
        trained, frozen, buffers, memory: stacks of parameters, of buffers, and of what the strategy remembers.
        inputs: view -> [rows, ...], the samples that all clients share; gathered from here.
        batch: `targets` [rows, ...] and `at` [clients, batch], where each client's samples are; with a teacher, `teacher`
            [said, outputs] and `said` [clients, batch]; where not every sample counts alike, `share` [clients, batch]; with public
            samples, `pairs` [clients, batch].
        kept: for each call of dropout, what each client keeps.
        public: view -> [public rows, ...], which `pairs` are gathered from.
    """

    trained: Tensors
    frozen: Tensors
    buffers: Tensors
    memory: Tensors
    inputs: Tensors
    batch: Tensors
    kept: Tensors = field(default_factory=dict)
    public: Tensors = field(default_factory=dict)

    def groups(self) -> dict[str, Tensors]:
        """Return the tensors by the names of the fields."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def tensors(self) -> list[Tensor]:
        """Return the tensors in the order of the fields."""
        return [tensor for group in self.groups().values() for tensor in group.values()]

    def pools(self) -> list[Tensor]:
        """Return what batches are gathered from: it may have any number of rows."""
        return [tensor for group, name, tensor in self._each() if _is_pool(group, name)]

    def _each(self) -> Iterator[tuple[str, str, Tensor]]:
        for group, tensors in self.groups().items():
            for name, tensor in tensors.items():
                yield group, name, tensor

    def form(self) -> Hashable:
        """Return all that a step could see of its tensors before it runs: shapes, but for the number of rows of pools."""
        return tuple(
            (
                group,
                name,
                tensor.shape[1:] if _is_pool(group, name) else tensor.shape,
                tensor.stride(),
                tensor.dtype,
                tensor.device,
            )
            for group, name, tensor in self._each()
        )


def _is_pool(group: str, name: str) -> bool:
    return group in {"inputs", "public"} or (group == "batch" and name in {"targets", "teacher"})


def gathered(rows: Tensor, at: Tensor) -> Tensor:
    """Return `rows[at]`, but faster: whole rows are copied, and not number by number."""
    return rows.index_select(0, at.flatten()).view(*at.shape, *rows.shape[1:])


@dataclass(frozen=True)
class ClientLoss:
    """The loss of one client's batch.

    Args:
        loss: of the stage.
        template: the architecture.
        task: passed on to the loss.
        precision: of forward and backward passes.
        calls: of dropout, on a batch of this size.
        taps: layers that the loss looks at.
    """

    loss: Callable[[Step], Tensor]
    template: nn.Module
    task: Task
    precision: Precision
    calls: tuple[Call, ...] = ()
    taps: tuple[str, ...] = ()

    def gradients(self, given: Batches) -> tuple[Tensors, Tensor]:
        """Return each client's gradients by name, and its loss.

        A parameter that the loss does not depend on is left out: an optimiser leaves it alone, weight decay included.
        """
        at, said = given.batch["at"], given.batch.get("said")
        batch: dict[str, Any] = {
            "inputs": {view: gathered(x, at) for view, x in given.inputs.items()},
            "targets": gathered(given.batch["targets"], at),
        }
        if said is not None:
            batch["teacher"] = gathered(given.batch["teacher"], said)
        if "share" in given.batch:
            batch["share"] = given.batch["share"]
        if "pairs" in given.batch:
            batch["public"] = {view: gathered(x, given.batch["pairs"]) for view, x in given.public.items()}
        learning = {name: weight.detach().requires_grad_() for name, weight in given.trained.items()}
        # One backward pass through the sum gives each client its own gradient, since no loss depends on another's weights.
        losses: Tensor = vmap(self._of_one)(
            learning, given.frozen, given.buffers, given.memory, batch, list(given.kept.values())
        )
        found = torch.autograd.grad(losses.sum(), list(learning.values()), allow_unused=True)
        gradients = {name: one for name, one in zip(learning, found, strict=True) if one is not None}
        return gradients, losses.detach()

    def _of_one(
        self,
        trained: Mapping[str, Tensor],
        frozen: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        memory: Mapping[str, Tensor],
        batch: Mapping[str, Any],
        kept: list[Tensor],
    ) -> Tensor:
        """Return the loss of one client's batch; `vmap` runs it for all."""
        parameters = {**trained, **frozen}
        state, public = {**parameters, **buffers}, None
        with contextlib.ExitStack() as stack:
            if self.calls:
                stack.enter_context(playing(list(zip(self.calls, kept, strict=True))))
            stack.enter_context(in_precision(self.precision, batch["targets"].device.type))
            stack.enter_context(stacked_kernels())
            with Taps(self.template, self.taps) as layers:
                outputs = run_with(self.template, state, batch["inputs"])
            if "public" in batch:
                public = run_with(self.template, state, batch["public"])
        if self.precision != "float32":
            dtype = next(iter(parameters.values())).dtype
            outputs = outputs.each(lambda said: said.to(dtype))
            layers = {name: layer.to(dtype) for name, layer in layers.items()}
            public = None if public is None else public.each(lambda said: said.to(dtype))

        def loss(outputs: Outputs, public: Outputs | None, targets: Tensor, teacher: Tensor | None) -> Tensor:
            return self.loss(Step(outputs, targets, teacher, parameters, memory, self.task, layers, public))

        with stacked_kernels():
            if "share" not in batch:
                return loss(outputs, public, batch["targets"], batch.get("teacher"))
            return _weighted(loss, outputs, public, batch)


def _weighted(
    loss: Callable[..., Tensor], outputs: Outputs, public: Outputs | None, batch: Mapping[str, Any]
) -> Tensor:
    """Return the mean of the losses of the single samples that count, for losses that are such a mean."""
    # What is not there cannot be mapped over.
    samples: dict[str, Any] = {name: batch[name] for name in ("targets", "teacher") if name in batch}
    samples |= {"outputs": _there(outputs), "public": {} if public is None else _there(public)}

    def of_one(sample: Mapping[str, Any]) -> Tensor:
        said, beside = _alone(sample["outputs"]), _alone(sample["public"])
        targets, teacher = (sample[name][None] if name in sample else None for name in ("targets", "teacher"))
        return loss(Outputs(**said), Outputs(**beside) if beside else None, targets, teacher)

    each = vmap(of_one)(samples)
    weighted: Tensor = each * batch["share"]
    return weighted.sum()


def _there(said: Outputs) -> Tensors:
    """Return what is said, by name."""
    return {name: part for name, part in said._asdict().items() if part is not None}


def _alone(said: Tensors) -> Tensors:
    """Return what is said of one sample as what is said of a batch of one."""
    return {name: part[None] for name, part in said.items()}
