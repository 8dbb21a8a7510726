"""CFD's client: distils what the server's model says into a fresh network, then trains on its own data.

Source: Sattler et al., "CFD: Communication-Efficient Federated Distillation via Soft-Label Quantization and Delta Coding"
(IEEE TNSE 2022; arXiv 2012.00632), Algorithm 1 and equation 17:

    theta <- train(theta_0, X_pub, Y_S)      digest, from the same initial weights in every round
    theta_i <- train(theta, D_i)             own data
    Y_i = Q_b(f_theta_i(X_pub))              what is sent, by the codec `constrained` of b bits

A client keeps no network, so it does not matter how often it takes part: what it has to know is in the server's soft labels.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.foundation.options import Positive
from fedkd.training import Fit


@dataclass(frozen=True, kw_only=True)
class CFD(ClientStrategy):
    """Starts each round from initial weights, learns what the server says of the proxy set, then from its own data."""

    digest: Fit = field(default_factory=Fit)
    """Learning from the server's soft labels."""

    temperature: Positive = 1.0
    """Softens the server's labels and the client's own alike."""

    @samplewise
    def digest_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the mean divergence from what the server says."""
        assert step.teacher is not None
        return step.task.divergence(step.outputs.logits, step.teacher, temperature=self.temperature).mean()

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return: digest (once the server has said anything), own data."""
        digest = Stage("digest", "proxy", self.digest_loss, self.digest)
        train = Stage("train", "private", self.train_loss, self.fit)
        return (digest, train) if situation.received is not None else (train,)
