"""Everything that the client side of a run needs, the same in every process, and one client's network and data."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from fedkd.clients import ClientStrategy
from fedkd.data.federated import FederatedData
from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Kind
from fedkd.models.base import Model, predict
from fedkd.tasks import Task


@dataclass(frozen=True)
class ClientSide:
    """The client side of a run.

    Args:
        data: the partitioned data set.
        models: the model of each client.
        strategy: what a client does in a round.
        kind: what a client says after it; none says nothing.
        codec: how it is sent.
        task: what outputs mean.
        streams: the random streams of the run.
        device: where clients train.
    """

    data: FederatedData
    models: tuple[Model, ...]
    strategy: ClientStrategy
    kind: Kind | None
    codec: Codec
    task: Task
    streams: Streams
    device: str = "cpu"

    def network(self, client: int) -> nn.Module:
        """Build a client's network with its initial weights: its own, or those that its architecture shares."""
        model = self.models[client]
        owner = client if self.strategy.own_initialisation else -1
        return initial_network(model, self.data, self.streams, client=owner).to(self.device)

    @functools.cached_property
    def proxy_rows(self) -> Mapping[int, int]:
        """Position of each proxy sample by its id."""
        ids = () if self.data.proxy is None else self.data.proxy.ids.tolist()
        return {sample: row for row, sample in enumerate(ids)}

    def proxy(self, ids: Int[Tensor, " n"] | None = None) -> Samples:
        """Return these proxy samples in this order, or the whole proxy set."""
        assert self.data.proxy is not None
        if ids is None:
            return self.data.proxy
        rows = torch.tensor([self.proxy_rows[sample] for sample in ids.tolist()], dtype=torch.long)
        return self.data.proxy.take(rows)


def initial_network(
    model: Model, data: FederatedData, streams: Streams, *, client: int = -1, owner: str = "client"
) -> nn.Module:
    """Build a network with weights from the stream of its owner and architecture."""
    with streams.initialising(f"initialise/{owner}/{model!r}", client=client):
        return model.network(next(iter(data.info.views.values())), data.info.num_outputs)


@dataclass(frozen=True)
class Trained:
    """A client after its training, as knowledge is read off it."""

    side: ClientSide
    samples: Samples
    network: nn.Module

    def weights(self) -> Mapping[str, Tensor]:
        """Return the network's weights by name."""
        return {name: weight.detach().cpu() for name, weight in self.network.state_dict().items()}

    def outputs(self, samples: Samples) -> Float[Tensor, "n outputs"]:
        """Return the raw outputs on any samples."""
        inputs = {view: x.to(self.side.device) for view, x in samples.inputs.items()}
        return predict(self.network, inputs).cpu()

    def on_proxy(self, ids: Int[Tensor, " n"]) -> Float[Tensor, "n outputs"]:
        """Return the raw outputs on proxy samples."""
        return self.outputs(self.side.proxy(ids))

    def on_private(self) -> tuple[Float[Tensor, "n outputs"], Shaped[Tensor, "n ..."]]:
        """Return the raw outputs on the client's own training samples, and their targets."""
        return self.outputs(self.samples), self.samples.targets
