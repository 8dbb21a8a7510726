"""Training clients through the stages of their round: one alone, or several at once."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.clients import Stage
from fedkd.data.samples import Samples
from fedkd.engine.beginning import Begun
from fedkd.engine.client import ClientSide
from fedkd.engine.cohort import Networks, Source
from fedkd.engine.sequential import run_stage
from fedkd.engine.stacked import predict_stacked
from fedkd.engine.teachers import taught
from fedkd.engine.trained import Trained
from fedkd.engine.vectorised import run_stage_together


@dataclass(frozen=True, eq=False)
class Fitted:
    """A client after its stages, with the mean loss of the last one."""

    trained: Trained
    loss: float


def train_alone(side: ClientSide, one: Begun) -> Fitted:
    """Train a client in this process's network of its architecture."""
    model = side.models[one.client]
    network = side.template(model)
    network.load_state_dict(one.weights)
    loss = float("nan")
    for stage in one.stages:
        samples, teacher = _samples_of(side, stage, one)
        order, dropout = _generators(side, stage, [one])
        loss = run_stage(
            stage,
            network,
            samples,
            teacher=teacher,
            memory=one.memory,
            task=side.task,
            generator=order[0],
            paired=_public_of(side, stage, one),
            dropout=dropout[0] if dropout else None,
            precision=side.engine.precision,
        )
    state = {
        name: weight.detach().clone(memory_format=torch.contiguous_format)
        for name, weight in network.state_dict().items()
    }
    return Fitted(Trained.of(side, one.client, network, state, one.weights), loss)


def train_group(side: ClientSide, group: Sequence[Begun]) -> list[Fitted]:
    """Train clients of one architecture and the same stages at once."""
    template = side.template(side.models[group[0].client])
    learning = {name: weight.requires_grad for name, weight in template.named_parameters()}
    stacks = {
        name: _stack([one.weights[name].to(side.device) for one in group]) for name in template.state_dict()
    }
    networks = Networks(
        template,
        {name: stacks[name] for name, learns in learning.items() if learns},
        {name: stacks[name] for name, learns in learning.items() if not learns},
        {name: stack for name, stack in stacks.items() if name not in learning},
    )
    memory = {name: torch.stack([one.memory[name] for one in group]) for name in group[0].memory}
    losses = [float("nan")] * len(group)
    for place, stage in enumerate(group[0].stages):
        order, dropout = _generators(side, stage, group)
        losses = run_stage_together(
            stage,
            networks,
            _source_of(side, place, group),
            memory=memory,
            task=side.task,
            generators=order,
            dropout=dropout,
            precision=side.engine.precision,
            compiles=side.engine.compiles,
        )
    answers = _Answers(side, networks, stacks)
    return [
        Fitted(answers.of(place, one), loss)
        for place, (one, loss) in enumerate(zip(group, losses, strict=True))
    ]


class _Answers:
    """What the networks of a cohort say; about proxy samples they are asked all at once, and each alone where that fails."""

    def __init__(self, side: ClientSide, networks: Networks, stacks: Mapping[str, Tensor]) -> None:
        self._side, self._template, self._stacks = side, networks.template, stacks
        self._ids: Tensor | None = None
        self._said: Tensor | None = None

    def of(self, place: int, one: Begun) -> Trained:
        """Return what can be read off one client."""
        state = {name: stack[place] for name, stack in self._stacks.items()}
        answer = functools.partial(self._on_proxy, place)
        return Trained.of(self._side, one.client, self._template, state, one.weights, answer)

    def _on_proxy(self, place: int, ids: Int[Tensor, " n"]) -> Float[Tensor, "n ... outputs"]:
        if self._ids is None or not (ids is self._ids or torch.equal(ids, self._ids)):
            self._ids, self._said = ids, None
            with contextlib.suppress(Exception):  # one network may be at fault, which will fail again below
                self._said = self._predict(self._stacks, ids)
        if self._said is not None:
            return self._said[place]
        return self._predict({name: stack[place, None] for name, stack in self._stacks.items()}, ids)[0]

    def _predict(
        self, stacks: Mapping[str, Tensor], ids: Int[Tensor, " n"]
    ) -> Float[Tensor, "networks n ... outputs"]:
        inputs = self._side.resident(self._side.proxy(ids)).inputs
        return predict_stacked(self._template, stacks, inputs).cpu()


def _generators(
    side: ClientSide, stage: Stage, group: Sequence[Begun]
) -> tuple[list[torch.Generator], list[torch.Generator]]:
    """Return each client's generator for the order of its samples, and that of its dropout, if there is any."""
    drops = side.drops(side.models[group[0].client])
    current = group[0].turn.mail.round
    order = [side.streams.torch(stage.name, round=current, client=one.client) for one in group]
    if not drops:
        return order, []
    purpose = f"{stage.name}/dropout"
    return order, [side.streams.torch(purpose, round=current, client=one.client) for one in group]


def _samples_of(side: ClientSide, stage: Stage, one: Begun) -> tuple[Samples, Tensor | None]:
    match stage.source:
        case "private":
            said = taught(side, [one])
            return side.resident(side.data.client_train(one.client)), None if said is None else said[0]
        case "public":
            return side.proxy_here, None
        case "proxy":
            package = one.received
            assert package is not None
            assert package.ids is not None
            return side.resident(side.proxy(package.ids)), package.scores().to(side.device)


def _pairs(side: ClientSide, stage: Stage, one: Begun) -> Int[Tensor, " n"]:
    """Return the place of the proxy sample beside each of a client's own: all come equally often, once more or less."""
    own, public = len(side.data.assignments[one.client]), len(side.proxy())
    draw = side.streams.torch(f"{stage.name}/public", round=one.turn.mail.round, client=one.client)
    passes = max(-(-own // public), 1)
    return torch.cat([torch.randperm(public, generator=draw) for _ in range(passes)])[:own]


def _public_of(side: ClientSide, stage: Stage, one: Begun) -> Mapping[str, Tensor] | None:
    """Return the inputs of the proxy sample beside each of a client's own, where the stage wants them."""
    if not stage.paired:
        return None
    pairs = _pairs(side, stage, one)
    return {view: x[pairs] for view, x in side.proxy_here.inputs.items()}


def _source_of(side: ClientSide, place: int, group: Sequence[Begun]) -> Source:
    """Return where the batches of a stage are gathered from."""
    stage = group[0].stages[place]
    source = stage.source
    if source == "private":
        samples, positions = side.pool([one.client for one in group])
        said = taught(side, group)
        own = Source(samples.inputs, samples.targets, positions)
        if said is not None:
            ends = torch.tensor([len(each) for each in said]).cumsum(0).tolist()
            own = replace(own, teacher=torch.cat(said), said=[0, *ends[:-1]])
        if not stage.paired:
            return own
        pairs = [_pairs(side, stage, one) for one in group]
        return replace(own, public=side.proxy_here.inputs, pairs=pairs)
    samples = side.proxy_here
    if source == "public":
        everything = torch.arange(len(samples))
        return Source(samples.inputs, samples.targets, [everything] * len(group))
    rows: dict[int, Tensor] = {}
    starts: dict[int, int] = {}
    scores: list[Tensor] = []
    for package in (one.received for one in group):
        if id(package) not in rows:
            assert package is not None
            assert package.ids is not None
            rows[id(package)] = side.rows_of(package.ids)
            starts[id(package)] = sum(map(len, scores))
            scores.append(package.scores().to(side.device))
    heard = [id(one.received) for one in group]
    return Source(
        samples.inputs,
        samples.targets,
        [rows[package] for package in heard],
        torch.cat(scores),
        [starts[package] for package in heard],
    )


def _stack(tensors: list[Tensor]) -> Tensor:
    """Return the tensors as one, in memory of its own."""
    first = tensors[0]
    if all(tensor is first for tensor in tensors):
        return first.expand(len(tensors), *first.shape).clone()
    return torch.stack(tensors)
