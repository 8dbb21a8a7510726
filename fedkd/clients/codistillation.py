"""The client of co-distillation on a public set: digest the consensus, then train on its own data.

FedMD: Li & Wang, "FedMD: Heterogenous Federated Learning via Model Distillation" (2019), Algorithm 1: transfer learning
on the labelled public set first, then each round digest (match the consensus) and revisit (own data).
DS-FL: Itahara et al., "Distillation-Based Semi-Supervised Federated Learning for Communication-Efficient Collaborative
Training with Non-IID Private Data" (2020), Algorithm 1: update, predict, aggregate, distil.

MHAT: Hu et al., "MHAT: An Efficient Model-Heterogenous Aggregation Training Scheme for Federated Learning" (2021), and FedGEMS:
Cheng et al., "FedGEMS: Federated Learning of Larger Server Models via Selective Knowledge Fusion" (2021): the public set has
labels, which are learned beside what the server says, `e CE + (1 - e) KL(server || client)`.
Cronus: Chang et al., "Cronus: Robust and Heterogeneous Collaborative Learning with Black-Box Knowledge Transfer" (2019); there private
and public samples are mixed in one training, here one follows the other.

With t the consensus that was received, and e the `label_weight`:

    digest, on public samples:  L = (1 - e) D(t, f_k(x)) + e CE(f_k(x), y),   D the KL, or the MAE of the logits (FedMD)
    then, on its own samples:   L = CE(f_k(x), y)

All end a round with the clients' answers. A client digests the last consensus when it next takes part, which is the
same order of work; the consensus of the last round therefore reaches no client.
"""

import functools
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Positive, Share
from fedkd.objectives import Criterion, Lesson, Objective, Schedule, Spec, refuse_idle, spelled_out
from fedkd.tasks import Divergence
from fedkd.training import Fit


@dataclass(frozen=True, kw_only=True)
class CoDistillation(ClientStrategy):
    """Keeps its network; learns what was agreed on the proxy set, then from its own data."""

    digest: Fit = field(default_factory=Fit)
    """Learning from the consensus on the proxy set."""

    divergence: Divergence = "task"
    """How the consensus is matched: the task's own measure (KL, squared error), `mae` / `mse` of raw outputs, or their `cosine`."""

    temperature: Positive = 1.0
    """Softens consensus and client alike, where the measure is KL."""

    terms: tuple[Spec, ...] = ()
    """Losses of the digest that are added up in place of `divergence`: `[jsd, {name: sp, student_layer: body.3}]`; those that learn or draw
    something themselves work in a distiller only (`fedkd list terms`)."""

    label_weight: Share = 0.0
    """Share of the digest's loss that is the task's own on the true targets of the proxy set (MHAT, FedGEMS)."""

    pretrain: Fit = field(default_factory=lambda: Fit(epochs=0))
    """Training on the labelled proxy set before a client's first round (FedMD's transfer learning); 0 epochs leaves it out."""

    persistent: ClassVar[bool] = True
    own_initialisation: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse terms that clients cannot digest with, and options that terms make idle; write down every option of the terms."""
        object.__setattr__(self, "terms", spelled_out(self.terms, key="method.client.terms"))
        for place, term in enumerate(self.objective().terms):
            key = f"method.client.terms.{place}={term.name()}"
            if not term.plain or term.needs_targets or term.of_inputs or term.schedule != Schedule():
                raise IllegalCombination(
                    f"{key}: clients digest with terms that learn and draw nothing, need neither inputs nor true targets, and keep their weight; "
                    "take another one, or method.distiller.terms"
                )
        if self.terms:
            refuse_idle(self, ("divergence", "temperature", "label_weight"), key="method.client")

    def objective(self) -> Objective:
        """Return the terms of the digest as one loss."""
        return Objective.named(self.terms, key="method.client.terms")

    @property
    def learns_proxy_labels(self) -> bool:
        """Whether there is a pre-training on public labels, or a digest that learns them too."""
        return self.pretrain.epochs > 0 or self.label_weight > 0

    @samplewise
    def digest_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the mean of `(1 - e) D(consensus, client) + e L(label, client)`, e the weight of labels."""
        assert step.teacher is not None
        apart = step.task.divergence(
            step.outputs.logits, step.teacher, measure=self.divergence, temperature=self.temperature
        )
        if not self.label_weight:
            return apart.mean()
        labels = step.task.supervised(step.outputs.logits, step.targets)
        return ((1.0 - self.label_weight) * apart + self.label_weight * labels).mean()

    def objective_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the weighted sum of the terms, with the consensus as the teacher."""
        assert step.teacher is not None
        lesson = Lesson(step.outputs.logits, step.teacher, step.task, student_layers=step.layers)
        value: Tensor = self._criterion(lesson)
        return value

    @functools.cached_property
    def _criterion(self) -> Criterion:
        return self.objective().begin(student={}, teacher={}, outputs=0)

    def _digesting(self) -> Stage:
        if not self.terms:
            return Stage("digest", "proxy", self.digest_loss, self.digest)
        taps = self.objective().student_layers
        return Stage("digest", "proxy", self.objective_loss, self.digest, taps=taps)

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return: pre-training on public labels (first time only), digest (once there is a consensus), own data."""
        pretrain = Stage("pretrain", "public", self.train_loss, self.pretrain)
        train = Stage("train", "private", self.train_loss, self.fit)
        return (
            *((pretrain,) if situation.first and self.pretrain.epochs else ()),
            *((self._digesting(),) if situation.received is not None else ()),
            train,
        )
