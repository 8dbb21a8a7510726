"""Distillation of an ensemble that is drawn from a distribution over weights (FedBE).

Chen & Chao, "FedBE: Making Bayesian Model Ensemble Applicable to Federated Learning" (ICLR 2021), Algorithm 1: the clients' weights
make a Gaussian or a Dirichlet distribution (`fedkd.aggregation.posterior`); networks drawn from it, the clients' mean and the clients
teach the mean what they together say about unlabelled public samples. The student's weights at the end of each cycle of the learning
rate are averaged (stochastic weight averaging: Izmailov et al., UAI 2018).

    w_s ~ N(w_mean, diag of the variance over clients),  or  w_s = sum_k c_sk w_k with c_sk ~ n_k Dirichlet(alpha)_k
    t(x) = fuse of f(x; w) over w in {w_k} + {w_s} + {w_mean}
    w <- minimise mean_x KL(t(x) || f(x; w)), from w_mean on;  the mean of w over the ends of the cycles is kept

Differs from the paper: a cycle is the distiller's whole plan, with its own schedule (half a cosine in the recipe).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from flwr.app import ArrayRecord, Message, MetricRecord
from torch import Tensor, nn

from fedkd.aggregation.folding import FUSION, Folding
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.posterior import Dirichlet, Gaussian, Posterior
from fedkd.aggregation.sums import RunningMean
from fedkd.aggregation.weightings.base import Weighting
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.options import Count, Index, Positive
from fedkd.models.base import predict
from fedkd.strategies._ensemble import tensors
from fedkd.strategies._federated import Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.strategies.ensemble_distillation import FedDF
from fedkd.tasks import Task

Shape = Literal["gaussian", "dirichlet"]


class FedBE(FedDF):
    """FedDF, for one architecture, whose teachers are the clients, their mean, and networks that are drawn.

    Args:
        student: the server's network.
        proxy: unlabelled public samples.
        posterior: the distribution that is made of the clients' weights.
        samples: how many networks are drawn from it.
        alpha: concentration of the Dirichlet distribution.
        cycles: how often the student is distilled in a round; its weights after each time are averaged.
        task, fusion, weighting, distiller, validation: as in `FedDF`.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        proxy: Samples,
        posterior: Shape = "gaussian",
        samples: int = 10,
        alpha: float = 0.5,
        cycles: int = 3,
        task: Task | None = None,
        fusion: Fusion | None = None,
        weighting: Weighting | None = None,
        distiller: Distiller | None = None,
        validation: Samples | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(
            students=student,
            proxy=proxy,
            task=task,
            fusion=fusion,
            weighting=weighting,
            distiller=distiller,
            validation=validation,
            sampling=sampling,
        )
        self.posterior, self.samples, self.alpha, self.cycles = posterior, samples, alpha, cycles
        self.student = student

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average, draw networks, let all of them speak, distil, and return the student's weights."""
        metrics, mean, sizes = MeanMetrics(), RunningMean(), dict[int, int]()
        posterior: Posterior = Gaussian() if self.posterior == "gaussian" else Dirichlet(self.alpha)
        folding = Folding(self.fusion, self.weighting, samples=len(self.proxy))
        for answer in self.sift(replies, self._read):
            weights = answer.said.weights
            mean.add(weights, answer.size)
            posterior.add(answer.client, weights, answer.size)
            folding.add(answer.client, self._say(tensors(weights)), size=answer.size)
            metrics.add(answer.content)
            sizes[answer.client] = answer.size
            del answer, weights  # else it would be held until the next one is there
        average = tensors(mean.result())
        # Those who are no clients have numbers below 0, and count like the mean client where sizes count.
        size = max(round(sum(sizes.values()) / max(len(sizes), 1)), 1)
        draw = self.streams.torch("posterior", round=server_round)
        drawn = [posterior.sample(draw) for _ in range(self.samples)]
        for number, network in enumerate([average, *drawn], start=1):
            folding.add(-number, self._say(network), size=size)
        fused = folding.result(generator=self.streams.torch(FUSION, round=server_round))
        heard = {client: weight for client, weight in fused.weights.items() if client >= 0}
        total = sum(heard.values()) or 1.0
        self._weights = {client: weight / total for client, weight in heard.items()}
        self.student.load_state_dict(average)
        self._distil(fused.scores, server_round)
        return ArrayRecord(self.student.state_dict()), metrics.result()

    def accounts(self, server_round: int) -> Mapping[str, float]:
        """Return nothing: one client speaks through every network that is drawn, so the votes do not protect it as they would."""
        del server_round
        return {}

    def _say(self, weights: dict[str, Tensor]) -> Tensor:
        """Return what a network with these weights says about the proxy samples."""
        self.student.load_state_dict(weights)
        return predict(self.student, self.proxy.inputs)

    def _distil(self, scores: Tensor, server_round: int) -> None:
        """Distil the student once for each cycle, and give it the mean of its weights at their ends."""
        ends = RunningMean()
        for cycle in range(self.cycles):
            self.distiller.distil(
                self.student,
                self.proxy.inputs,
                scores,
                task=self.task,
                generator=self.streams.torch(f"distil/{cycle}", round=server_round),
                validate=self._faculty.score if self.validation is not None else None,
            )
            ends.add({name: weight.numpy().copy() for name, weight in self.student.state_dict().items()}, 1)
        self.student.load_state_dict(tensors(ends.result()))


@dataclass(frozen=True, kw_only=True)
class BayesianEnsemble(ServerStrategy):
    """Weights cross; the mean of the clients learns what they and networks drawn around them say together."""

    posterior: Shape = "gaussian"
    """Distribution over weights: normal by itself for each, or a Dirichlet over the clients' shares."""

    samples: Index = 10
    """Networks that are drawn in a round."""

    alpha: Positive = 0.5
    """Concentration of the Dirichlet distribution: small draws single clients, large their mean."""

    cycles: Count = 3
    """Times the student is distilled in a round; its weights after each time are averaged."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_proxy: ClassVar[bool] = True
    needs_fusion: ClassVar[bool] = True
    needs_distiller: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = True
    mixed_models: ClassVar[bool] = False

    @property
    def distillations(self) -> int:
        """Once a cycle."""
        return self.cycles

    def create(self, side: ServerSide) -> FedBE:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return FedBE(
            student=next(iter(side.students.values())),
            proxy=side.proxy,
            posterior=self.posterior,
            samples=self.samples,
            alpha=self.alpha,
            cycles=self.cycles,
            task=side.task,
            fusion=side.fusion,
            weighting=side.weighting,
            distiller=side.distiller,
            validation=side.validation,
            sampling=side.sampling,
        )
