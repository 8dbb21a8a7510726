"""Everything that the client side of a run needs, the same in every process, and one client's network and data."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
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
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Kind, OwnAnswers
from fedkd.models._beside import Beside, carried_by, carrying
from fedkd.models._layout import lay_out
from fedkd.models.base import Model, Outputs, Signature, identity, observe, predict, run_network
from fedkd.objectives import predict_with_layers
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

    def crossing(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what of a client's weights and buffers crosses: all of them, or those of the network that it carries."""
        return carried_by(state) if self.strategy.carries_student else state

    def arriving(self, state: Mapping[str, Tensor], sent: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a client's weights and buffers after it took up what was sent."""
        return carrying(state, sent) if self.strategy.carries_student else sent

    def as_judged(
        self, client: int, state: Mapping[str, Tensor], sent: Mapping[str, Tensor] | None
    ) -> tuple[Model, Mapping[str, Tensor]]:
        """Return the model with which a client is judged, and its weights: the client's own, gone on with by the server's where they came."""
        if not self.judged or sent is None:
            return self.models[client], state
        return self.judged[client], continued(state, sent)

    def template(self, model: Model) -> nn.Module:
        """Return this process's network of an architecture; whoever uses it gives it weights first."""
        key = identity(model)
        if key not in self._templates:
            network = initial_network(model, self.data, self.streams).to(self.device)
            # The layout that training uses, from the start: else it would depend on what this process did before.
            lay_out(network, self._some().inputs)
            self._templates[key] = network
        return self._templates[key]

    def layout(self, model: Model) -> Layout:
        """Return the names and shapes of an architecture's weights."""
        key = identity(model)
        if key not in self._layouts:
            network = self.template(model)
            shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
            self._layouts[key] = Layout(shapes, tuple(name for name, _ in network.named_parameters()))
        return self._layouts[key]

    def initial_weights(self, client: int) -> Mapping[str, Tensor]:
        """Return the weights and buffers that a client's network begins with; not to be written to."""
        if self.strategy.own_initialisation:
            return self.network(client).state_dict()
        key = identity(self.models[client])
        if key not in self._initial:
            self._initial[key] = self.network(client).state_dict()
        return self._initial[key]

    def drops(self, model: Model) -> bool:
        """Return whether dropout is at work in networks of this architecture while they train."""
        key = identity(model)
        if key not in self._drops:
            network = self.template(model).train()
            some = self._some()
            self._drops[key] = bool(calls_in(lambda: run_network(network, some.inputs)))
        return self._drops[key]

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
    """Return the networks that clients train: their own models, each with the student's beside it where the strategy carries it."""
    if not strategy.carries_student:
        return tuple(models)
    return tuple(Beside(own=model, carried=student) for model in models)


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
    with streams.initialising(f"initialise/{owner}/{identity(model)}", client=client):
        return model.build(signature or Signature.of(data.info))


@dataclass(frozen=True, eq=False)
class Trained:
    """A client after its training, as knowledge is read off it.

    Args:
        side: the client side of the run.
        client: number of its partition.
        state: its network's weights and buffers by name.
        answer: returns its raw outputs on proxy samples, by their ids.
        network: returns its network, which is another client's once that is asked for.
    """

    side: ClientSide
    client: int
    state: Mapping[str, Tensor]
    answer: Callable[[Int[Tensor, " n"]], Float[Tensor, "n ... outputs"]]
    network: Callable[[], nn.Module]

    @classmethod
    def of(cls, side: ClientSide, client: int, network: nn.Module, state: Mapping[str, Tensor]) -> "Trained":
        """Return a client whose outputs are those of a network with these weights and buffers."""

        def own() -> nn.Module:
            network.load_state_dict(state)
            return network

        def answer(ids: Int[Tensor, " n"]) -> Float[Tensor, "n ... outputs"]:
            return predict(own(), side.resident(side.proxy(ids)).inputs).cpu()

        return cls(side, client, state, answer, own)

    def outputs(self, samples: Samples) -> Outputs:
        """Return all that it says about some samples."""
        return observe(self.network(), self.side.resident(samples).inputs).each(Tensor.cpu)

    @property
    def num_outputs(self) -> int:
        """Classes, or numbers to predict."""
        return self.side.data.info.num_outputs

    def weights(self) -> Mapping[str, Tensor]:
        """Return the weights that cross, by name."""
        return {name: weight.detach().cpu() for name, weight in self.side.crossing(self.state).items()}

    def on_proxy(self, ids: Int[Tensor, " n"]) -> Float[Tensor, "n ... outputs"]:
        """Return the raw outputs on proxy samples."""
        return self.answer(ids)

    def on_private(self) -> tuple[Float[Tensor, "n ... outputs"], Shaped[Tensor, "n ..."]]:
        """Return the raw outputs on the client's own training samples, and their targets."""
        own = self.private()
        return self.outputs(own).logits, own.targets

    def private_targets(self) -> Shaped[Tensor, "n ..."]:
        """Return the targets of the client's own training samples."""
        return self.private().targets

    def features_on_private(self) -> tuple[Float[Tensor, "n width"], Shaped[Tensor, "n ..."]]:
        """Return the features of the client's own training samples, and their targets."""
        own = self.private()
        return self.outputs(own).features, own.targets

    def layer_on_private(self, layer: str) -> OwnAnswers:
        """Return what a layer and the whole network say about the client's own training samples, with their ids and targets."""
        own = self.private()
        logits, layers = predict_with_layers(self.network(), [layer], self.side.resident(own).inputs)
        return OwnAnswers(own.ids, layers[layer].cpu(), logits.cpu(), own.targets)

    def on_holdout(self) -> tuple[Float[Tensor, "n ... outputs"], Shaped[Tensor, "n ..."]]:
        """Return the raw outputs on the client's own held-out samples, and their targets; there may be none."""
        own = self.side.data.client_holdout(self.client)
        return self.outputs(own).logits, own.targets

    def private(self) -> Samples:
        """Return the client's own training samples."""
        return self.side.data.client_train(self.client)

    def public(self, ids: Int[Tensor, " n"] | None = None) -> Samples:
        """Return these proxy samples, or all of them."""
        return self.side.proxy(ids)

    @property
    def task(self) -> Task:
        """What outputs mean."""
        return self.side.task
