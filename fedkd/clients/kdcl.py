"""Online distillation by collaborative learning: networks side by side learn from an ensemble of themselves.

Guo et al., "Online Knowledge Distillation via Collaborative Learning" (CVPR 2020). With logits z_1 .. z_m of one sample:

    L_i = CE(p_i, y) + lambda T^2 KL(softmax(t / T) || softmax(z_i / T)),   t the teacher's logits:
    naive:      t = z_j of the network j with the least cross-entropy on the sample
    linear:     t = sum_j w_j z_j, with the convex weights w of the batch that make the teacher's mean cross-entropy least
    min_logit:  t_c = min over j of (z_j,c - z_j,y): the least margin of the true class, so the hardest target
    general:    t = sum_j w_j z_j,   w = C^-1 1 / (1' C^-1 1),   C_jk = mean of (p_j - y)'(p_k - y) over samples that nobody trains on
    mean:       t = the mean of the z_j (not in the paper)

Differs from the paper: all networks see the same view of a sample; the paper distorts each one's images on its own. `general` measures C anew each
round, on the client's own held-out samples, by the networks that the round starts from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Situation, Stage, Step, samplewise
from fedkd.foundation.options import NonNegative, Positive

_STEPS = 16
"""Steps towards the weights of `linear`; two to five networks are then within a hundredth of a nat of the least cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class KDCL(Exits):
    """Trains all exits on the labels and on one teacher that is made of all of them."""

    rule: Literal["naive", "linear", "min_logit", "general", "mean"] = "min_logit"
    """How the teacher is made of the networks; `general` is the mean for a client without held-out samples."""

    weight: NonNegative = 1.0
    """Weight of distillation (lambda)."""

    temperature: Positive = 2.0
    """Softens teacher and networks alike."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the networks' losses."""
        exits = exits_of(step)
        loss = sum((supervised(step, said) for said in exits), start=step.outputs.logits.new_zeros(()))
        teacher = self.teacher_of(torch.stack(exits).detach(), step)
        for said in exits:
            taught = step.task.divergence(said, teacher, temperature=self.temperature)
            loss = loss + self.weight * taught.mean()
        return loss

    def batch_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the same where the teacher of a sample depends on the others of its batch."""
        return self.train_loss(step)

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return the training; what `linear` does is no mean over samples."""
        del situation
        loss = self.batch_loss if self.rule == "linear" else self.train_loss
        return (Stage("train", "private", loss, self.fit),)

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the weights of `general`, if the client has held-out samples."""
        if self.rule != "general":
            return {}
        held_out = situation.held_out()
        if held_out is None:
            return {}
        outputs, targets = held_out
        assert outputs.exits is not None
        return {"weights": weights_by_error(outputs.exits.transpose(0, 1), targets)}

    def teacher_of(
        self, logits: Float[Tensor, "networks batch classes"], step: Step
    ) -> Float[Tensor, "batch classes"]:
        """Return the teacher's logits."""
        true = step.targets[None, :, None].expand(len(logits), -1, 1)
        match self.rule:
            case "mean":
                return logits.mean(dim=0)
            case "general":
                if "weights" not in step.memory:
                    return logits.mean(dim=0)
                return torch.einsum("j,jnc->nc", step.memory["weights"].to(logits), logits)
            case "linear":
                return torch.einsum("j,jnc->nc", weights_of_least_loss(logits, step.targets), logits)
            case "min_logit":
                return (logits - logits.gather(2, true)).amin(dim=0)
            case "naive":
                right = torch.log_softmax(logits, dim=-1).gather(2, true)[:, :, 0]
                best = right.argmax(dim=0)[None, :, None].expand(1, -1, logits.shape[2])
                return logits.gather(0, best)[0]


def weights_of_least_loss(
    logits: Float[Tensor, "networks batch classes"], targets: Int[Tensor, " batch"]
) -> Float[Tensor, " networks"]:
    """Return weights that sum to 1, none below 0, with which the mean of the logits has the least mean cross-entropy.

    The problem is convex. A fixed number of exponentiated gradient steps from equal weights is made, each as long as the curvature between the
    networks allows; if the best network alone does better than where they end, it gets all the weight.
    """
    networks, batch, _ = logits.shape
    margins = logits - logits.gather(2, targets[None, :, None].expand(networks, -1, 1))
    scores = logits.new_zeros(networks)
    for _ in range(_STEPS):
        said = torch.softmax(torch.einsum("j,jnc->nc", torch.softmax(scores, dim=0), margins), dim=-1)
        means = torch.einsum("nc,jnc->jn", said, margins)
        # The Hessian is the covariance of the networks' margins under what the mixture says.
        hessian = (torch.einsum("nc,jnc,knc->jk", said, margins, margins) - means @ means.T) / batch
        curvatures = hessian.diagonal()[:, None] + hessian.diagonal()[None] - 2.0 * hessian
        scores = scores - 4.0 * means.mean(dim=1) / curvatures.amax().clamp_min(1e-12)
    alone = torch.eye(networks, dtype=logits.dtype, device=logits.device)
    candidates = torch.cat([torch.softmax(scores, dim=0)[None], alone])
    losses = torch.einsum("aj,jnc->anc", candidates, margins).logsumexp(dim=-1).mean(dim=1)
    return F.one_hot(losses.argmin(), len(candidates)).to(candidates) @ candidates


def weights_by_error(
    logits: Float[Tensor, "networks n classes"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " networks"]:
    """Return weights that sum to 1 with which the mean of the probabilities has the least squared error on these samples.

    Networks whose errors go together may get weights below 0. Where the closed form has more than one solution, the shortest is taken, so that
    equal networks count alike, and all count alike where nobody errs.
    """
    said = torch.softmax(logits.double(), dim=-1)
    errors = said - F.one_hot(targets, logits.shape[-1])
    covariance = torch.einsum("jnc,knc->jk", errors, errors) / len(targets)
    found = torch.linalg.pinv(covariance, hermitian=True).sum(dim=1)
    total = found.sum()
    equal = torch.full_like(found, 1.0 / len(found))
    return torch.where(total > 0.0, found / total.clamp_min(torch.finfo(total.dtype).tiny), equal).to(logits)
