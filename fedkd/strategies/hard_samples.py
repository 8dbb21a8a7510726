"""Averaging of weights, whose average then learns from the clients on generated samples that are hard for it (FedFTG).

Zhang, Shen, Ding, Tao & Duan, "Fine-tuning Global Model via Data-Free Knowledge Distillation for Non-IID Federated Learning" (CVPR 2022),
section 3. With p_k what client k says about a generated sample x = G(z, y), p what the average w of the clients says, n_k^y the samples
of class y that client k has, the server plays

    min_w max_G E_(z ~ N(0, 1), y ~ p(y)) [ L_md - fidelity L_cls - diversity L_dis ]
    L_md  = sum_k a_k^y KL(p_k(x) || p(x))                  hard samples: where the average differs from the clients
    L_cls = sum_k a_k^y CE(p_k(x), y)                       fidelity: clients see the class in them
    L_dis = exp(-mean_ij |z_i - z_j|^2 |x_i - x_j|)         diversity: other noise gives another sample
    p(y) ~ sum_k n_k^y,    a_k^y = n_k^y / sum_i n_i^y      customised sampling of labels; ensemble by class

by turns: for each batch of noise and labels some steps of G, then some of w. Both learn from the clients of the round alone.

As in the authors' code: |.| are means over numbers, squared and absolute; the generator lives on from round to round, its optimiser does not.
`discrepancy: logits` is L_md of that code for the generator, the mean absolute difference of logits; the average learns by KL in
both. Differs from the code: the generator takes one step for all clients in place of one for each, and the average's loss is not divided by
the number of classes (up to clipping, `student.lr` divided by it does the same). Differs from the paper: the generator has one hidden layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy.typing as npt
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.options import NonNegative
from fedkd.foundation.seeding import drawing_from
from fedkd.models._generator import SampleGenerator
from fedkd.models.base import run_with
from fedkd.strategies._ensemble import tensors
from fedkd.strategies._federated import Sampling
from fedkd.strategies._generated import Batch, Game, Rhythm, views_of
from fedkd.strategies._labelled import LabelledFedAvg, draw_labels, shares_of
from fedkd.strategies.averaging import Averaging
from fedkd.strategies.base import ServerSide
from fedkd.strategies.feature_generator import alikeness

Discrepancy = Literal["divergence", "logits"]


class FedFTG(LabelledFedAvg):
    """FedAvg whose average learns from the clients' networks, all of which a round holds, on samples that a generator makes.

    Args:
        student: the server's network.
        generator: makes inputs of the student out of noise and classes.
        classes: how many classes there are.
        options: how both are trained; by default those of the recipe's part.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        generator: SampleGenerator,
        classes: int,
        options: "HardSamples | None" = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(
            classes=classes,
            sampling=sampling,
        )
        self.student, self.generator, self.options = student, generator, options or HardSamples()

    def kept(self, said: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
        """Return the network and the label counts of a client."""
        return tensors(said)

    def learn(
        self,
        server_round: int,
        average: ArrayRecord,
        heard: list[dict[str, Tensor]],
        counts: Int[Tensor, "clients classes"],
    ) -> ArrayRecord:
        """Let the clients teach the average, and return its weights."""
        self.student.load_state_dict(average.to_torch_state_dict())
        draw = self.streams.torch("hard-samples", round=server_round)
        # What dropout leaves out belongs to this round, as what is drawn for the generator does.
        with drawing_from(draw.initial_seed()):
            _Fight(self, heard, counts.long()).play(draw)
        return ArrayRecord(self.student.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Return the generator."""
        return dict(self.generator.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the generator."""
        self.generator.load_state_dict(dict(state))


class _Fight(Game):
    """The game of a round, with its clients' networks and their shares of the samples of each class.

    Args:
        strategy: has the generator, the student and the options.
        teachers: the clients' weights.
        counts: samples of each class that each client has.
    """

    def __init__(
        self,
        strategy: FedFTG,
        teachers: list[dict[str, Tensor]],
        counts: Int[Tensor, "clients classes"],
    ) -> None:
        super().__init__(strategy.generator, strategy.student, strategy.options)
        self.options, self.teachers = strategy.options, teachers
        self.counts, self.shares = counts, shares_of(counts)

    def labels(self, size: int, draw: torch.Generator) -> Int[Tensor, " size"]:
        """Draw classes as often as the clients have them."""
        return draw_labels(self.counts, size, draw)

    def makers_loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Return `fidelity L_cls - L_md + diversity L_dis`."""
        options, weights = self.options, self.shares[:, batch.labels]
        said = self.answers(batch)
        apart = discrepancy(self.said_by_student(batch.made), said, weights, options.discrepancy)
        loss = options.fidelity * fidelity(said, batch.labels, weights) - apart
        return loss + options.diversity * alikeness(batch.noise, batch.made.flatten(1))

    def answers(self, batch: Batch) -> Float[Tensor, "clients n classes"]:
        """Return what the clients' networks say; the student lends them its form, in evaluation mode."""
        self.student.eval()
        views = views_of(self.student, batch.made)
        return torch.stack([run_with(self.student, weights, views).logits for weights in self.teachers])

    def learners_loss(self, batch: Batch, answers: Float[Tensor, "clients n classes"]) -> Float[Tensor, ""]:
        """Return `L_md`."""
        return discrepancy(self.said_by_student(batch.made), answers, self.shares[:, batch.labels])


def discrepancy(
    student: Float[Tensor, "n classes"],
    teachers: Float[Tensor, "clients n classes"],
    weights: Float[Tensor, "clients n"],
    measure: Discrepancy = "divergence",
) -> Float[Tensor, ""]:
    """Return the mean of `sum_k w_k KL(p_k || p)` over the samples, or of `sum_k w_k mean_c |t_kc - s_c|` of their logits."""
    if measure == "logits":
        return (weights * (teachers - student).abs().mean(dim=-1)).sum(dim=0).mean()
    log_teachers, log_student = F.log_softmax(teachers, dim=-1), F.log_softmax(student, dim=-1)
    each = (log_teachers.exp() * (log_teachers - log_student)).sum(dim=-1)
    return (weights * each).sum(dim=0).mean()


def fidelity(
    teachers: Float[Tensor, "clients n classes"],
    labels: Int[Tensor, " n"],
    weights: Float[Tensor, "clients n"],
) -> Float[Tensor, ""]:
    """Return the mean of `sum_k w_k CE(p_k, y)` over the samples."""
    labels = labels[:, None].expand(-1, len(teachers))
    each = F.cross_entropy(teachers.permute(1, 2, 0), labels, reduction="none")
    return (weights * each.T).sum(dim=0).mean()


@dataclass(frozen=True, kw_only=True)
class HardSamples(Averaging, Rhythm):
    """Weights are averaged; the average learns from the clients' networks on generated samples that are hard for it."""

    discrepancy: Discrepancy = "divergence"
    """What the generator seeks: a large KL from clients to the average (paper), or a large difference of logits (the authors' code)."""

    fidelity: NonNegative = 1.0
    """Weight of the clients' cross-entropy with the class a sample is made for."""

    diversity: NonNegative = 1.0
    """Weight of the term that keeps samples of different noise apart."""

    takes: ClassVar[tuple[str | None, ...]] = ("labelled_weights",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    def create(self, side: ServerSide) -> FedFTG:
        """Return the Flower strategy."""
        return FedFTG(
            student=next(iter(side.students.values())),
            generator=self.generator_for(side),
            classes=side.num_outputs,
            options=self,
            sampling=side.sampling,
        )
