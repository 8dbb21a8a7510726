"""Averaging of weights, with a generator of features that the clients' last layers teach (FedGen).

Zhu, Hong & Zhou, "Data-Free Knowledge Distillation for Heterogeneous Federated Learning" (ICML 2021), Algorithm 1 and equation 4:
the generator G minimises

    E_(y ~ counts, z ~ G(y, noise)) CE(mean_k head_k(z), y) + diversity * exp(-mean_ij |noise_i - noise_j|^2 |z_i - z_j|)

The counts of labels, which clients send with their weights, say how often a class is drawn. The second term, which keeps features of
different noise apart, is that of the authors' code; so is `teachers: by_label`, where the cross-entropies of the clients are averaged,
each weighted by its share of the samples of the label, in place of their logits.

Not here: clients that share a part of their networks alone, such as the last layer, as the authors' code can (`partial`), and whose other
layers may then differ: it would be another round, without a student. Whole networks are averaged, so that all are of one architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy.typing as npt
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.options import Count, NonNegative
from fedkd.knowledge import Package
from fedkd.models._generator import FeatureGenerator, Sizes, head_logits
from fedkd.models.base import observe
from fedkd.strategies._federated import Sampling
from fedkd.strategies._labelled import LabelledFedAvg, draw_labels, shares_of
from fedkd.strategies.averaging import Averaging
from fedkd.strategies.base import ServerSide
from fedkd.training import Optimizer, follow

Teachers = Literal["mean_logits", "by_label"]
Heads = Mapping[str, Float[Tensor, "clients ..."]]

_HEAD = ("head.weight", "head.bias")


class FedGen(LabelledFedAvg):
    """FedAvg that also trains a generator of features and sends it down, from the second round on.

    Args:
        sizes: those of the generator.
        teachers: how the last layers of the clients teach it.
        diversity: weight of the term that keeps features apart.
        steps, batch_size, optimizer: how it is trained in each round.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        sizes: Sizes,
        teachers: Teachers = "mean_logits",
        diversity: float = 1.0,
        steps: int = 100,
        batch_size: int = 64,
        optimizer: Optimizer | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(
            classes=sizes.classes,
            sampling=sampling,
        )
        self.sizes, self.teachers, self.diversity = sizes, teachers, diversity
        self.steps, self.batch_size = steps, batch_size
        self.optimizer = optimizer or Optimizer(name="adam", lr=0.003)
        with self.streams.initialising("generator"):
            self.generator = FeatureGenerator(sizes)
        self._counts = torch.zeros(sizes.classes, dtype=torch.long)

    def beside(self, arrays: ArrayRecord) -> Package | None:
        """Return the generator with the label counts of those who taught it, once it has learned."""
        del arrays
        if not bool(self._counts.any()):
            return None
        weights = {name: tensor.detach().clone() for name, tensor in self.generator.state_dict().items()}
        return Package("generator", weights, counts=self._counts)

    def kept(self, said: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
        """Return the last layer and the label counts of a client."""
        return {name: torch.tensor(said[name]) for name in (*_HEAD, "counts")}

    def learn(
        self,
        server_round: int,
        average: ArrayRecord,
        heard: list[dict[str, Tensor]],
        counts: Int[Tensor, "clients classes"],
    ) -> ArrayRecord:
        """Let the last layers of the clients teach the generator; the weights are the average."""
        heads = {name: torch.stack([client[name] for client in heard]) for name in _HEAD}
        self._teach(heads, counts, self.streams.torch("generator", round=server_round))
        self._counts = counts.sum(dim=0)
        return average

    def state(self) -> dict[str, Tensor]:
        """Return the generator and the label counts."""
        return {"counts": self._counts, **self.generator.state_dict()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the generator and the label counts."""
        self._counts = state["counts"]
        self.generator.load_state_dict({name: tensor for name, tensor in state.items() if name != "counts"})

    def _teach(self, heads: Heads, counts: Int[Tensor, "clients classes"], draw: torch.Generator) -> None:
        optimizer = self.optimizer.start(self.generator)
        for _ in range(self.steps):
            labels = draw_labels(counts, self.batch_size, draw)
            noise = torch.randn(self.batch_size, self.sizes.noise, generator=draw)
            features = self.generator(noise, labels)
            loss = taught(features, labels, heads, counts, self.teachers)
            whole = loss + self.diversity * alikeness(noise, features)
            follow(optimizer, whole, self.optimizer.clip_norm)


def taught(
    features: Float[Tensor, "n width"],
    labels: Int[Tensor, " n"],
    heads: Heads,
    counts: Int[Tensor, "clients classes"],
    teachers: Teachers,
) -> Float[Tensor, ""]:
    """Return how far the clients' last layers are from seeing the labels in generated features, in nats."""
    said = torch.stack(
        [
            head_logits({name: stack[client] for name, stack in heads.items()}, features)
            for client in range(len(counts))
        ]
    )
    if teachers == "mean_logits":
        return F.cross_entropy(said.mean(dim=0), labels)
    each = F.cross_entropy(said.permute(1, 2, 0), labels[:, None].expand(-1, len(counts)), reduction="none")
    return (each * shares_of(counts)[:, labels].T).sum(dim=1).mean()


def alikeness(noise: Float[Tensor, "n noise"], features: Float[Tensor, "n width"]) -> Float[Tensor, ""]:
    """Return `exp(-mean_ij |noise_i - noise_j|^2 |z_i - z_j|)`, means over the numbers: 1 where all features are the same."""
    distances = (noise[:, None] - noise).square().mean(dim=-1)
    apart = (features[:, None] - features).abs().mean(dim=-1)
    return (-(distances * apart).mean()).exp()


@dataclass(frozen=True, kw_only=True)
class FeatureGeneration(Averaging):
    """Weights are averaged; a generator of features, taught by the clients' last layers, goes down with them."""

    noise: Count = 32
    """Numbers of noise that a feature is made of."""

    hidden: Count = 64
    """Hidden units of the generator."""

    teachers: Teachers = "mean_logits"
    """What teaches it: the mean of the clients' logits (paper), or each by its share of the samples of the label (the authors' code)."""

    diversity: NonNegative = 1.0
    """Weight of the term that keeps features of different noise apart."""

    steps: Count = 100
    """Steps of the generator in a round."""

    batch_size: Count = 64
    """Features a step."""

    optimizer: Optimizer = field(default_factory=lambda: Optimizer(name="adam", lr=0.003))
    """The generator's optimiser."""

    takes: ClassVar[tuple[str | None, ...]] = ("labelled_weights",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True

    def sent_beside(self, network: nn.Module, num_outputs: int) -> tuple[int, int]:
        """Return the size of the generator, from the second round on."""
        width = network.state_dict()["head.weight"].shape[1]
        hidden = (self.noise + num_outputs + 1) * self.hidden
        return 0, 4 * (hidden + (self.hidden + 1) * width)

    def create(self, side: ServerSide) -> FedGen:
        """Return the Flower strategy."""
        network = next(iter(side.students.values()))
        width = observe(network, side.validation.take(torch.arange(1)).inputs).features.shape[-1]
        return FedGen(
            sizes=Sizes(side.num_outputs, self.noise, self.hidden, width),
            teachers=self.teachers,
            diversity=self.diversity,
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            sampling=side.sampling,
        )
