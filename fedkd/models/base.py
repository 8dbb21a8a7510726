"""What a model is: a recipe for a network, which states the input it takes and returns logits and features."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption, nearest
from fedkd.foundation.parts import Part
from fedkd.models._heads import by_head


class Outputs(NamedTuple):
    """What a network says about a batch.

    Attributes:
        logits: [batch, outputs]: raw class scores, or predicted numbers in a regression; [batch, places, outputs] where each place of a
            sequence, or each head, has an answer.
        features: [batch, width]: what the last layer sees; of a sequence, the mean over its places.
        carried: [batch, outputs]: logits of the network that a client carries beside its own; none for a single network.
        carried_features: [batch, width]: features of the carried network, mapped to the width of the client's own; where a strategy aligns them.
        exits: [batch, exits, outputs], with places or heads before the outputs: what each exit says of a network that answers at several places, or of networks side
            by side; none for a network with one answer.
        exit_features: [batch, exits, width]: what each exit sees, where a model offers it.
        mean_exits: [batch, means, outputs], with places or heads before the outputs: what exits say whose weights are running means, where a
            model has them; no gradient flows from here.
    """

    logits: Float[Tensor, "batch ... outputs"]
    features: Float[Tensor, "batch width"]
    carried: Float[Tensor, "batch ... outputs"] | None = None
    exits: Float[Tensor, "batch exits ... outputs"] | None = None
    exit_features: Float[Tensor, "batch exits width"] | None = None
    mean_exits: Float[Tensor, "batch means ... outputs"] | None = None
    carried_features: Float[Tensor, "batch width"] | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """Return what a function makes of everything that is said."""
        return Outputs(*(None if said is None else change(said) for said in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Signature:
    """What goes into a network, and how much comes out.

    Args:
        views: view name -> shape of one sample, the main view first.
        num_outputs: classes, symbols, or numbers to say of a sample; the classes of all heads together, where there are several.
        symbols: view name -> how many symbols there are, for views of int64 symbols; other views are float32.
        heads: number of classes of each head, where a sample is of a class in each of several classifications.
    """

    views: Mapping[str, tuple[int, ...]]
    num_outputs: int
    symbols: Mapping[str, int] = field(default_factory=dict)
    heads: tuple[int, ...] = ()

    @classmethod
    def of(cls, data: Any) -> "Signature":
        """Return the signature of a data set, or of what is known of one that is loaded."""
        heads = tuple(len(names) for names in data.heads.values())
        return cls(dict(data.views), sum(heads) or data.num_outputs, dict(data.symbols), heads)

    def blank(self, count: int) -> dict[str, Tensor]:
        """Return the inputs of so many samples, all zeros."""
        return {
            name: torch.zeros(count, *shape, dtype=torch.int64 if name in self.symbols else torch.float32)
            for name, shape in self.views.items()
        }


@dataclass(frozen=True, kw_only=True)
class Model(Part, ABC):
    """A recipe for a network."""

    view: str | None = None
    """View of the samples that the network reads; empty takes the main one."""

    reads_symbols: ClassVar[bool] = False
    """Whether its networks read int64 symbols; else float32 numbers."""

    gives_exits: ClassVar[bool] = False
    """Whether its networks answer at several places (`Outputs.exits`)."""

    gives_exit_features: ClassVar[bool] = False
    """Whether they also say what each exit sees, in vectors of one width (`Outputs.exit_features`)."""

    gives_means: ClassVar[bool] = False
    """Whether its networks hold running means of weights, which speak too (`Outputs.mean_exits`)."""

    @abstractmethod
    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network; its weights are drawn from PyTorch's current generator (see `Streams.initialising`).

        Args:
            shape: shape of one input, without the batch axis.
            num_outputs: classes, or numbers to predict.

        Raises:
            IllegalCombination: the network cannot take such inputs.
        """

    def build(self, signature: Signature) -> nn.Module:
        """Build the network for the view that it reads; a network that reads several states them as `views`, and overrides this.

        Raises:
            InvalidOption: the data has no such view.
            IllegalCombination: the network cannot take such inputs.
        """
        main = self.view or next(iter(signature.views))
        if (main in signature.symbols) != self.reads_symbols and main in signature.views:
            reads, holds, takes = (
                ("symbols", "numbers", "mlp")
                if self.reads_symbols
                else ("numbers", "symbols", "gru or model=transformer, or item_bag for rankings")
            )
            raise IllegalCombination(
                f"model={type(self).__module__.rpartition('.')[2]} reads {reads}, and the view {main!r} of this data holds {holds}; take model={takes}"
            )
        if self.view is None:
            return _with_heads(self.network(signature.views[main], signature.num_outputs), signature.heads)
        if self.view not in signature.views:
            raise InvalidOption(
                "model.view", self.view, ", ".join(signature.views), nearest(self.view, signature.views)
            )
        network = self.network(signature.views[self.view], signature.num_outputs)
        network.view = self.view  # type: ignore[assignment]
        return _with_heads(network, signature.heads)

    @property
    def drawn_as(self) -> "Model":
        """The model whose name names the stream of the initial weights: this one, or the one that it only adds to."""
        return self

    def per_client(self, clients: int) -> "tuple[Model, ...]":
        """Return the model of each client; one model gives all clients the same."""
        return (self,) * clients

    def architectures(self) -> "Mapping[str, Model]":
        """Return every distinct architecture by its name."""
        return {type(self).__module__.rsplit(".", maxsplit=1)[-1]: self}


def _with_heads(network: nn.Module, classes: tuple[int, ...]) -> nn.Module:
    """Return the network; what it says is laid out by head, where there are several."""
    if classes:
        network.register_forward_hook(functools.partial(_laid_out, classes))
    return network


def _laid_out(classes: tuple[int, ...], network: nn.Module, read: Any, said: Any) -> Outputs:
    del network, read
    outputs = said if isinstance(said, Outputs) else Outputs(said, said)
    exits, means = (
        None if said is None else by_head(said, classes) for said in (outputs.exits, outputs.mean_exits)
    )
    return outputs._replace(logits=by_head(outputs.logits, classes), exits=exits, mean_exits=means)


def require_image(name: str, shape: tuple[int, ...], *, least: int) -> None:
    """Refuse inputs that are not images [channels, height, width] of at least `least` pixels a side."""
    if len(shape) != 3 or min(shape[1:]) < least:
        raise IllegalCombination(
            f"model={name} takes images [channels, height, width] of at least {least} x {least} pixels, this data has inputs "
            f"of shape {list(shape)}; take model=mlp or model=logistic"
        )


def identity(model: Model) -> str:
    """Return what tells architectures apart: the model with its options, and its view where it names one."""
    return re.sub(r"\bview=None(, )?", "", repr(model))


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def run_network(network: nn.Module, inputs: Mapping[str, Tensor]) -> Outputs:
    """Apply a network to a sample's views: its own `views` or `view` if it names them, else the only or the first one.

    A network that returns a bare tensor is taken to return logits, which then also serve as features.
    """
    said = network(*_read(network, inputs))
    return said if isinstance(said, Outputs) else Outputs(said, said)


def run_with(network: nn.Module, weights: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Outputs:
    """Apply a network as `run_network` does, with other parameters and buffers than its own."""
    said = torch.func.functional_call(network, dict(weights), _read(network, inputs))
    return said if isinstance(said, Outputs) else Outputs(said, said)


def _read(network: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    views = getattr(network, "views", None) or (getattr(network, "view", None) or next(iter(inputs)),)
    return tuple(inputs[view] for view in views)


def batch_size_on(device: torch.device) -> int:
    """Return how many samples to predict at once: what a CPU's cache holds of a small network, or what fills a GPU."""
    return 200 if device.type == "cpu" else 1000


@torch.no_grad()
def predict(
    network: nn.Module, inputs: Mapping[str, Tensor], *, batch_size: int | None = None
) -> Float[Tensor, "n ... outputs"]:
    """Return the logits of a network in evaluation mode for every sample, in order; batches suit the device if not given."""
    return torch.cat([said.logits for said in _in_batches(network, inputs, batch_size)])


@torch.no_grad()
def observe(network: nn.Module, inputs: Mapping[str, Tensor], *, batch_size: int | None = None) -> Outputs:
    """Return all that a network says in evaluation mode about every sample, in order."""
    parts = zip(*_in_batches(network, inputs, batch_size), strict=True)
    return Outputs(*(None if part[0] is None else torch.cat(part) for part in parts))  # type: ignore[arg-type]


def _in_batches(
    network: nn.Module, inputs: Mapping[str, Tensor], batch_size: int | None
) -> Iterator[Outputs]:
    was_training = network.training
    network.eval()
    first = next(iter(inputs.values()))
    step = batch_size or batch_size_on(first.device)
    for start in range(0, max(len(first), 1), step):
        yield run_network(network, {view: x[start : start + step] for view, x in inputs.items()})
    network.train(was_training)
