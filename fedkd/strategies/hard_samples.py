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
the number of classes. Differs from the paper: the generator has one hidden layer.
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
from fedkd.foundation.seeding import drawing_from
from fedkd.models._generator import SampleGenerator, Values
from fedkd.models.base import run_network, run_with
from fedkd.strategies._ensemble import tensors
from fedkd.strategies._federated import Sampling
from fedkd.strategies._labelled import LabelledFedAvg, draw_labels, shares_of
from fedkd.strategies.averaging import Averaging
from fedkd.strategies.base import ServerSide
from fedkd.strategies.feature_generator import alikeness
from fedkd.training import Optimizer

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
            self._play(heard, counts.long(), draw)
        return ArrayRecord(self.student.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Return the generator."""
        return dict(self.generator.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the generator."""
        self.generator.load_state_dict(dict(state))

    def _play(
        self, teachers: list[dict[str, Tensor]], counts: Int[Tensor, "clients classes"], draw: torch.Generator
    ) -> None:
        options, shares = self.options, shares_of(counts)
        maker, learner = (
            options.optimizer.start(self.generator),
            options.student.start(self.student),
        )
        width = self.generator.noise
        for _ in range(options.batches):
            labels = draw_labels(counts, options.batch_size, draw)
            noise = torch.randn(options.batch_size, width, generator=draw)
            weights = shares[:, labels]
            self.student.eval()
            for _ in range(options.generator_steps):
                made = self.generator(noise, labels)
                said = self._said(teachers, made)
                apart = discrepancy(self._student_on(made), said, weights, options.discrepancy)
                loss = options.fidelity * fidelity(said, labels, weights) - apart
                loss = loss + options.diversity * alikeness(noise, made.flatten(1))
                _step(self.generator, maker, loss, options.optimizer.clip_norm)
            with torch.no_grad():
                made = self.generator(noise, labels)
                said = self._said(teachers, made)
            self.student.train()
            for _ in range(options.student_steps):
                loss = discrepancy(self._student_on(made), said, weights)
                _step(self.student, learner, loss, options.student.clip_norm)

    def _student_on(self, made: Tensor) -> Tensor:
        return run_network(self.student, self._views(made)).logits

    def _said(self, teachers: list[dict[str, Tensor]], made: Tensor) -> Tensor:
        """Return what the clients' networks say [clients, n, classes]; the student lends them its form, in evaluation mode."""
        self.student.eval()
        return torch.stack(
            [run_with(self.student, weights, self._views(made)).logits for weights in teachers]
        )

    def _views(self, made: Tensor) -> dict[str, Tensor]:
        return {getattr(self.student, "view", None) or "sample": made}


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


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float | None
) -> None:
    """Follow the gradient of a loss once, for the weights of one network alone."""
    optimizer.zero_grad()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()


@dataclass(frozen=True, kw_only=True)
class HardSamples(Averaging):
    """Weights are averaged; the average learns from the clients' networks on generated samples that are hard for it."""

    noise: Count = 100
    """Numbers of noise that a sample is made of."""

    hidden: Count = 256
    """Hidden units of the generator."""

    values: Values = "unit"
    """What inputs are made of: numbers from 0 to 1 (images), or of mean 0 and variance 1 over a batch (tables; the authors' code)."""

    discrepancy: Discrepancy = "divergence"
    """What the generator seeks: a large KL from clients to the average (paper), or a large difference of logits (the authors' code)."""

    fidelity: NonNegative = 1.0
    """Weight of the clients' cross-entropy with the class a sample is made for."""

    diversity: NonNegative = 1.0
    """Weight of the term that keeps samples of different noise apart."""

    batches: Count = 10
    """Batches of noise and labels in a round."""

    generator_steps: Count = 1
    """Steps of the generator on each batch."""

    student_steps: Count = 5
    """Steps of the average on each batch."""

    batch_size: Count = 64
    """Samples a step."""

    optimizer: Optimizer = field(default_factory=lambda: Optimizer(name="adam", lr=0.01))
    """The generator's optimiser, new in each round."""

    student: Optimizer = field(default_factory=lambda: Optimizer(lr=0.05))
    """The average's optimiser, new in each round."""

    takes: ClassVar[tuple[str | None, ...]] = ("labelled_weights",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    def create(self, side: ServerSide) -> FedFTG:
        """Return the Flower strategy."""
        network = next(iter(side.students.values()))
        inputs = side.validation.inputs
        shape = inputs[getattr(network, "view", None) or next(iter(inputs))].shape[1:]
        with side.streams.initialising("generator"):
            generator = SampleGenerator(
                tuple(shape),
                classes=side.num_outputs,
                noise=self.noise,
                hidden=self.hidden,
                values=self.values,
            )
        return FedFTG(
            student=network,
            generator=generator,
            classes=side.num_outputs,
            options=self,
            sampling=side.sampling,
        )
