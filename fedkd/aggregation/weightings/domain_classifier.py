"""Teachers count more on samples that look like their own, FedAUX's certainty scores (Sattler et al., 2021).

Each client trains a logistic regression that tells its own samples from the public ones, and sends what that says about
each proxy sample. With `form=density_ratio` the weight is the odds in place of the probability, with both sets counted
alike: an estimate of how many times denser the client's own samples are there than the public ones, by which selective
distillation goes (Shao et al., "Selective knowledge sharing for privacy-preserving federated distillation without a good
teacher", 2023, with another estimator).

Sattler et al., "FedAUX: Leveraging Unlabeled Auxiliary Data in Federated Learning" (2021), section 3: with features h of norm 1 at most and labels
t = 1 for the n_k own and t = -1 for the negatives among n samples,

    w_k = argmin_w 1/n sum_i log(1 + exp(-t_i w . h_i)) + lambda/2 |w|^2,    s_k(x) = 1 / (1 + exp(-w_k . h(x)))
    y(x) = softmax(sum_k s_k(x) f_k(x) / sum_k s_k(x))    with the fusion mean_logits

One sample moves w_k by `2 / (lambda n)` at most, so that Gaussian noise of variance `8 ln(1.25 / delta) / (epsilon lambda n)^2` on it makes
it (epsilon, delta)-differentially private (epsilon = 0.1, delta = 1e-5 there). It is drawn once for each client, as are the scores in the
paper, so all rounds together cost one epsilon, which is recorded; it protects a sample against whoever sees scores, and nothing else
that crosses. Differs from the paper: the scores are of the inputs, as there is no pre-trained feature extractor, and the proxy set is both
what own samples are told from and what is scored. The authors' code regularises the sum of the losses in place of their mean, for which this
noise is not enough; that form is not here. The length of the longest input, by which all are divided, is not protected, neither there nor here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.teachers import Form, Teachers, Witness
from fedkd.aggregation.weightings._inputs import vectors
from fedkd.aggregation.weightings.base import LoneWeighting
from fedkd.foundation.options import Positive


@dataclass(frozen=True, kw_only=True)
class DomainClassifier(LoneWeighting):
    """`s_k(x) / sum_j s_j(x)` with the probability s_k(x) that x is one of client k's own samples, as the client sees it."""

    form: Literal["certainty", "density_ratio"] = "certainty"
    """The probability itself (FedAUX), or the ratio of densities that it stands for."""

    l2: Positive = 0.01
    """Weight lambda of the squared norm of the regression's weights, halved, against its mean loss."""

    epsilon: Positive | None = None
    """Privacy of the regression's weights, over all rounds; none adds no noise."""

    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Chance with which the privacy may fail."""

    def __post_init__(self) -> None:
        if self.form == "density_ratio" and self.epsilon is not None:
            raise ValueError(
                "a density ratio has no epsilon: the bound holds where every sample counts alike, as in form=certainty"
            )

    @property
    def sends(self) -> Mapping[str, Form]:
        """A score for each proxy sample."""
        return {"certainty": "samples"}

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return the score of each proxy sample; 0.5 for a client without samples.

        The regression tells own samples from the whole proxy set, whichever samples are asked about, so that it is the same in every round.
        """
        own, public = vectors(client.private()), vectors(client.public())
        if not len(own) or not len(public):
            return {"certainty": torch.full((len(ids),), 0.5)}
        longest = torch.cat([own, public]).norm(dim=-1).max().clamp_min(torch.finfo(torch.float64).tiny)
        weights = self._regression(own / longest, public / longest, generator)
        return {"certainty": torch.sigmoid(vectors(client.public(ids)) / longest @ weights).float()}

    def accounts(self) -> Mapping[str, float]:
        """Return the epsilon of the scores of all rounds, where there is one."""
        return {} if self.epsilon is None else {"epsilon": self.epsilon}

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the score, or its odds."""
        certainty = teachers.sent["certainty"].double()
        if self.form == "certainty":
            return certainty
        return certainty / (1.0 - certainty).clamp_min(torch.finfo(torch.float32).eps)

    def _regression(
        self,
        own: Float[Tensor, "own features"],
        public: Float[Tensor, "public features"],
        generator: torch.Generator,
    ) -> Float[Tensor, " features"]:
        """Return the weights of the regression; rows have norm 1 at most, which the noise relies on."""
        from sklearn.linear_model import LogisticRegression

        size = len(own) + len(public)
        rows = torch.cat([own, public]).numpy()
        is_own = np.repeat([1, 0], [len(own), len(public)])
        balanced = "balanced" if self.form == "density_ratio" else None
        # sklearn weighs the sum of the losses, the paper the regulariser of their mean.
        fitted = LogisticRegression(
            C=1.0 / (size * self.l2), fit_intercept=False, max_iter=1000, class_weight=balanced
        ).fit(rows, is_own)
        weights: Tensor = torch.from_numpy(fitted.coef_[0])
        if self.epsilon is None:
            return weights
        deviation = math.sqrt(8.0 * math.log(1.25 / self.delta)) / (self.epsilon * self.l2 * size)
        noise = torch.randn(len(weights), generator=generator, dtype=torch.float64)
        return weights + deviation * noise
