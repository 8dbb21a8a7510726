"""Everything that the client side of a run needs, the same in every process."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.clients import ClientStrategy
from fedkd.data.federated import FederatedData
from fedkd.data.samples import Samples
from fedkd.engine.continued import Continued, continued
from fedkd.engine.dropout import calls_in
from fedkd.engine.engines.base import TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.expected import multiplications
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Kind
from fedkd.models._beside import CARRIED, Aligned, Beside, part_of, with_part
from fedkd.models._judged import JUDGED, Judged
from fedkd.models._layout import lay_out
from fedkd.models.base import Model, Signature, identity, run_network
from fedkd.tasks import Task


@dataclass(frozen=True)
class Layout:
    """Names and shapes of an architecture's weights and buffers, and which of them are parameters."""

    shapes: Mapping[str, torch.Size]
    parameters: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ClientSide:
    """The client side of a run.

    Args:
        data: the partitioned data set.
        models: the model of each client, as `fitted_out` gives it.
        strategy: what a client does in a round.
        kind: what a client says after it; none says nothing.
        codec: how it is sent.
        task: what outputs mean.
        streams: the random streams of the run.
        device: where clients train.
        engine: how clients are trained.
        weighting: how they will be weighed, for which they may have to say something about themselves.
        judged: the model with which each client is judged once the rest of it has come with the request; empty where they are judged as they are.
    """

    data: FederatedData
    models: tuple[Model, ...]
    strategy: ClientStrategy
    kind: Kind | None
    codec: Codec
    task: Task
    streams: Streams
    device: str = "cpu"
    engine: TrainingEngine = Sequential()  # noqa: RUF009  (a frozen dataclass)
    weighting: Weighting = Uniform()  # noqa: RUF009  (a frozen dataclass)
    judged: tuple[Continued, ...] = ()

    def network(self, client: int) -> nn.Module:
        """Build a client's network with its initial weights: its own, or those that its architecture shares."""
        model = self.models[client]
        owner = client if self.strategy.own_initialisation else -1
        return initial_network(model, self.data, self.streams, client=owner).to(self.device)

    @property
    def shared(self) -> str:
        """What the names begin with of those weights and buffers of a client that cross, if not all of them do; else nothing."""
        if self.strategy.carries_student:
            return CARRIED
        return "" if self.strategy.discriminator is None else JUDGED

    def crossing(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what of a client's weights and buffers crosses: all of them, or those of the one network that is shared."""
        return part_of(state, self.shared) if self.shared else state

    def arriving(self, state: Mapping[str, Tensor], sent: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a client's weights and buffers after it took up what was sent."""
        return with_part(state, self.shared, sent) if self.shared else sent

    def as_judged(
        self, client: int, state: Mapping[str, Tensor], sent: Mapping[str, Tensor] | None
    ) -> tuple[Model, Mapping[str, Tensor]]:
        """Return the model with which a client is judged, and its weights: the client's own, gone on with by the server's where they came."""
        if not self.judged or sent is None:
            return self.models[client], state
        return self.judged[client], continued(state, sent)

    def template(self, model: Model) -> nn.Module:
        """Return this process's network of an architecture; whoever uses it gives it weights first."""
        key = self._named(model)
        if key not in self._templates:
            network = initial_network(model, self.data, self.streams).to(self.device)
            # The layout that training uses, from the start: else it would depend on what this process did before.
            lay_out(network, self._some().inputs)
            self._templates[key] = network
        return self._templates[key]

    def layout(self, model: Model) -> Layout:
        """Return the names and shapes of an architecture's weights."""
        key = self._named(model)
        if key not in self._layouts:
            network = self.template(model)
            shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
            self._layouts[key] = Layout(shapes, tuple(name for name, _ in network.named_parameters()))
        return self._layouts[key]

    def initial_weights(self, client: int) -> Mapping[str, Tensor]:
        """Return the weights and buffers that a client's network begins with; not to be written to."""
        if self.strategy.own_initialisation:
            return self.network(client).state_dict()
        key = self._named(self.models[client])
        if key not in self._initial:
            self._initial[key] = self.network(client).state_dict()
        return self._initial[key]

    def drops(self, model: Model) -> bool:
        """Return whether dropout is at work in networks of this architecture while they train."""
        key = self._named(model)
        if key not in self._drops:
            network = self.template(model).train()
            some = self._some()
            self._drops[key] = bool(calls_in(lambda: run_network(network, some.inputs)))
        return self._drops[key]

    def sample_work(self, model: Model) -> int:
        """Return how many multiplications a network of this architecture takes for a sample."""
        key = self._named(model)
        if key not in self._sample_work:
            some = self.data.validation.take(torch.arange(1))
            self._sample_work[key] = multiplications(
                initial_network(model, self.data, self.streams), some.inputs
            )
        return self._sample_work[key]

    def train_work(self, client: int) -> int:
        """Return how many multiplications a client's round is expected to take, forward: its samples in all passes, and the proxy set once."""
        size, plan = len(self.data.assignments[client]), self.strategy.fit
        seen = min(plan.epochs * size, plan.steps(size) * plan.batch_size)
        if self.data.proxy is not None and self.kind is not None and self.kind.needs_proxy:
            seen += len(self.data.proxy)
        return seen * self.sample_work(self.models[client])

    def _named(self, model: Model) -> str:
        """Return the identity of an architecture; putting it together is asked for at every turn of a client."""
        kept = self._names.get(id(model))
        if kept is None:
            kept = self._names[id(model)] = (
                model,
                identity(model),
            )  # kept with the model, so that its id stays its own
        return kept[1]

    def _some(self) -> Samples:
        """Return two samples, to find out what a network does with them."""
        return self.resident(
            self.data.validation.take(torch.arange(2).clamp(max=len(self.data.validation) - 1))
        )

    def resident(self, samples: Samples) -> Samples:
        """Return samples where clients train."""
        if self.device == "cpu":
            return samples
        inputs = {view: x.to(self.device) for view, x in samples.inputs.items()}
        return replace(samples, inputs=inputs, targets=samples.targets.to(self.device))

    def pool(self, clients: Sequence[int]) -> tuple[Samples, list[Int[Tensor, " n"]]]:
        """Return samples among which are those that these clients train on, and where in them each client's are."""
        samples, positions = self.data.pool(clients)
        where = [torch.from_numpy(rows) for rows in positions]
        return (self._train if samples is self.data.train else self.resident(samples)), where

    @functools.cached_property
    def _train(self) -> Samples:
        """The training pool, which lies where clients train once for this process."""
        return self.resident(self.data.train)

    @functools.cached_property
    def proxy_here(self) -> Samples:
        """The proxy set, which lies where clients train once for this process."""
        return self.resident(self.proxy())

    @functools.cached_property
    def _names(self) -> dict[int, tuple[Model, str]]:
        return {}

    @functools.cached_property
    def _templates(self) -> dict[str, nn.Module]:
        return {}

    @functools.cached_property
    def _layouts(self) -> dict[str, Layout]:
        return {}

    @functools.cached_property
    def _initial(self) -> dict[str, Mapping[str, Tensor]]:
        return {}

    @functools.cached_property
    def _drops(self) -> dict[str, bool]:
        return {}

    @functools.cached_property
    def _sample_work(self) -> dict[str, int]:
        return {}

    @functools.cached_property
    def proxy_rows(self) -> Mapping[int, int]:
        """Position of each proxy sample by its id."""
        ids = () if self.data.proxy is None else self.data.proxy.ids.tolist()
        return {sample: row for row, sample in enumerate(ids)}

    def rows_of(self, ids: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the positions of these proxy samples."""
        proxy = self.proxy()
        if ids is proxy.ids or torch.equal(ids, proxy.ids):
            return torch.arange(len(ids))
        return torch.tensor([self.proxy_rows[sample] for sample in ids.tolist()], dtype=torch.long)

    def proxy(self, ids: Int[Tensor, " n"] | None = None) -> Samples:
        """Return these proxy samples in this order, or the whole proxy set."""
        assert self.data.proxy is not None
        return self.data.proxy if ids is None else self.data.proxy.take(self.rows_of(ids))


def fitted_out(strategy: ClientStrategy, models: Sequence[Model], student: Model) -> tuple[Model, ...]:
    """Return the networks that clients train: their own models, each with what the strategy wants beside it: the student's, or a discriminator."""
    if strategy.carries_student:
        kind = Aligned if strategy.aligns_features else Beside
        return tuple(kind(own=model, carried=student) for model in models)
    judge = strategy.discriminator
    return tuple(models if judge is None else (Judged(own=model, discriminator=judge) for model in models))


def initial_network(
    model: Model,
    data: FederatedData,
    streams: Streams,
    *,
    client: int = -1,
    owner: str = "client",
    signature: Signature | None = None,
) -> nn.Module:
    """Build a network with weights from the stream of its owner and architecture; it reads samples if no other signature is given."""
    with streams.initialising(f"initialise/{owner}/{identity(model.drawn_as)}", client=client):
        return model.build(signature or Signature.of(data.info))
