"""A client after its training: what a kind of knowledge, a weighting or an evaluation may read off it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from fedkd.data.samples import Samples
from fedkd.engine.client import ClientSide
from fedkd.knowledge.kinds.base import OwnAnswers
from fedkd.models.base import Outputs, observe, predict
from fedkd.objectives import predict_with_layers
from fedkd.tasks import Task


@dataclass(frozen=True, eq=False)
class Trained:
    """A client after its training, as knowledge is read off it.

    Args:
        side: the client side of the run.
        client: number of its partition.
        state: its network's weights and buffers by name.
        answer: returns its raw outputs on proxy samples, by their ids.
        network: returns its network, which is another client's once that is asked for.
        began: weights and buffers that it began its round with.
    """

    side: ClientSide
    client: int
    state: Mapping[str, Tensor]
    answer: Callable[[Int[Tensor, " n"]], Float[Tensor, "n ... outputs"]]
    network: Callable[[], nn.Module]
    began: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        side: ClientSide,
        client: int,
        network: nn.Module,
        state: Mapping[str, Tensor],
        began: Mapping[str, Tensor] | None = None,
        answer: Callable[[Int[Tensor, " n"]], Float[Tensor, "n ... outputs"]] | None = None,
    ) -> "Trained":
        """Return a client whose outputs are those of a network with these weights and buffers; it has not moved unless it is said from where.

        The network takes them up once it is asked, unless there is another way to answer, as for a cohort at once.
        """
        # Not functions in here: their annotations would be put together for each client.
        own = functools.partial(_loaded, network, state)
        answer = answer or functools.partial(_answer, side, own)
        return cls(side, client, state, answer, own, state if began is None else began)

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

    def began_with(self) -> Mapping[str, Tensor]:
        """Return what crosses of the weights that the round began with."""
        return {name: weight.detach().cpu() for name, weight in self.side.crossing(self.began).items()}

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


def _loaded(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    network.load_state_dict(state)
    return network


def _answer(
    side: ClientSide, own: Callable[[], nn.Module], ids: Int[Tensor, " n"]
) -> Float[Tensor, "n ... outputs"]:
    return predict(own(), side.resident(side.proxy(ids)).inputs).cpu()
