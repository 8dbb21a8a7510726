"""Adversarial adaptation: a client's network answers on unlabelled target samples so that a discriminator takes them for its own.

Tsai, Hung, Schulter, Sohn, Yang & Chandraker, "Learning to Adapt Structured Output Space for Semantic Segmentation" (AdaptSegNet, CVPR 2018),
equations 1 to 5, at a single level. With p(x) the probabilities of the classes, D(p) what the discriminator takes for the chance that x is of the
source, s a batch of the client's own samples and t one of proxy samples, which are of the target:

    network:        CE(p(s), y) - lambda log D(p(t))
    discriminator:  -1/2 (log D(p(s)) + log(1 - D(p(t))))

Each learns by its own loss alone: gradients of the first stop at the discriminator's weights, those of the second at p. Both are taken at the
same weights, as in the authors' code. With `space=features` D looks at what the last layer sees, the paper's comparison. The discriminator
stays with the client; the network crosses, so that teachers of any architecture can be adapted, each on its own.

Differs from the paper: a sample has one answer, not a map of them, so that the discriminator is fully connected and not convolutional; one
optimiser serves both players, with its default moments (paper: SGD for the network, Adam for the discriminator); nothing is adapted at lower
layers. Each source has a client that adapts apart, and nobody else sees its samples: Peng et al., "Federated Adversarial Domain Adaptation"
(ICLR 2020), align features of all sources at the server instead.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.foundation.options import Count, NonNegative
from fedkd.models._judged import Discriminator, held, judged, layers_of
from fedkd.models.base import Outputs


@dataclass(frozen=True, kw_only=True)
class Adversarial(ClientStrategy):
    """Keeps its network, and trains it against a discriminator of its own samples and the proxy set's, whose labels it never sees."""

    weight: NonNegative = 0.001
    """How much the network wants to pass for the source on proxy samples (lambda); with 0 the discriminator only watches."""

    space: Literal["answers", "features"] = "answers"
    """What the discriminator looks at: the probabilities of the classes, or what the last layer sees."""

    hidden: tuple[Count, ...] = (64,)
    """Width of each hidden layer of the discriminator."""

    persistent: ClassVar[bool] = True
    own_initialisation: ClassVar[bool] = True
    needs_proxy: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @property
    def discriminator(self) -> Discriminator:
        """What tells the client's own samples from proxy samples."""
        return Discriminator(self.space, self.hidden)

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of both players' losses."""
        assert step.public is not None
        own, public = self.seen(step.outputs), self.seen(step.public)
        judge = layers_of(step.parameters)
        supervised = step.task.supervised(step.outputs.logits, step.targets).mean()
        passing = F.softplus(-judged(held(judge), public)).mean()
        telling = F.softplus(-judged(judge, own.detach())) + F.softplus(judged(judge, public.detach()))
        return supervised + self.weight * passing + telling.mean() / 2

    def seen(self, said: Outputs) -> Float[Tensor, "batch width"]:
        """Return what the discriminator looks at."""
        return F.softmax(said.logits, dim=-1) if self.space == "answers" else said.features

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return the training on pairs of own samples and proxy samples."""
        del situation
        return (Stage("train", "private", self.train_loss, self.fit, paired=True),)
