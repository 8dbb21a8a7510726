"""FedGEMS: a larger server model that learns from clients only what it does not know, and teaches them in return.

Source: Cheng et al., "FedGEMS: Federated Learning of Larger Server Models via Selective Knowledge Fusion" (2021), section 3.3.
The public set has labels y. With the server's logits l_s, the clients' l_k and a pool of logits, sample by sample:

    the server is right:                  L = CE(y, l_s), and the pool takes l_s
    it is wrong, the pool has logits:     L = e CE(y, l_s) + (1 - e) KL(pool || l_s)
    it is wrong, and the pool has none:   L = e CE(y, l_s) + (1 - e) KL(sum_k alpha_k l_k || l_s)

alpha_k = softmax_k(1 / H(p_k)) over the clients that are right (`fedkd/aggregation/reliable.py`); where none is, L = CE. e is
`method.distiller.label_weight`. Clients are asked about the last group of samples only; then the server's logits on the whole
public set go down.

Here the server judges samples once a round, before it asks, so that fewer answers cross as it learns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, Message, MetricRecord
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.aggregation.reliable import reliable
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.knowledge.codecs.base import Codec
from fedkd.models.base import predict
from fedkd.strategies._federated import Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.strategies.codistillation import CoDistillationStrategy, Opinion
from fedkd.tasks import Task

_POOL, _KNOWN = "pool", "known"
"""Names of the pool of logits in the strategy's state, and of where it has any."""


class FedGEMSStrategy(CoDistillationStrategy):
    """Asks clients about what the server's model never knew, and sends down what it says after learning.

    Args:
        student: the server's network.
        proxy: the public samples, with labels.
        task: what outputs mean.
        distiller: how the server learns; its `label_weight` is e.
        codec, codec_down, validation: as in `CoDistillationStrategy`.
        sampling: who takes part in a round.
    """

    default_distiller: ClassVar[Distiller | None] = Distiller(label_weight=0.75)

    def __init__(
        self,
        *,
        student: nn.Module,
        proxy: Samples,
        task: Task | None = None,
        distiller: Distiller | None = None,
        codec: Codec | None = None,
        codec_down: Codec | None = None,
        validation: Samples | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(
            student=student,
            proxy=proxy,
            task=task,
            distiller=distiller,
            codec=codec,
            codec_down=codec_down,
            send="student",
            validation=validation,
            sampling=sampling,
        )
        self._pool = torch.zeros(len(proxy), self._answer[-1])
        self._known = self._right = torch.zeros(len(proxy), dtype=torch.bool)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Choose a teacher for each sample, learn, and return the server's weights."""
        metrics, opinions = MeanMetrics(), dict[int, Opinion]()
        for answer in self.sift(replies, self._read):
            opinions[answer.client] = answer.said
            metrics.add(answer.content)
        self.lines.settle(self._usable)
        teacher, shares = self._lessons({client: opinions[client] for client in sorted(opinions)})
        assert self.distiller is not None
        self.distiller.distil(
            self.student,
            self.proxy.inputs,
            teacher,
            task=self.task,
            generator=self.streams.torch("distil", round=server_round),
            validate=None if self.validation is None else self._validate,
            targets=self.proxy.targets,
            label_weights=shares,
        )
        self._consensus = self._to_send(teacher, self.proxy)
        return ArrayRecord(self.student.state_dict()), metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return what the next round begins with, and the pool."""
        held = super().state()
        return {**held, _POOL: self._pool, _KNOWN: self._known} if held else held

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what the next round begins with, and the pool."""
        super().load_state(state)
        if _POOL in state:
            self._pool, self._known = state[_POOL], state[_KNOWN]

    def _draw(self, server_round: int) -> Int[Tensor, " n"]:
        """Judge the server's model, put what it knows into the pool, and return the samples that it never knew."""
        del server_round
        said = predict(self.student, self.proxy.inputs)
        self._right = said.argmax(dim=1) == self.proxy.targets
        self._pool = torch.where(self._right[:, None], said, self._pool)
        self._known = self._known | self._right
        return (~self._known).nonzero().flatten()

    def _lessons(
        self, opinions: Mapping[int, Opinion]
    ) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """Return the teacher's logits and the weight of the label on each sample; what nobody knows, labels teach alone."""
        assert self.distiller is not None
        asked = self._asked
        outputs = torch.zeros(len(opinions), len(asked), self._answer[-1])
        present = torch.zeros(len(opinions), len(asked), dtype=torch.bool)
        for place, opinion in enumerate(opinions.values()):
            where = slice(None) if opinion.rows is None else opinion.rows
            outputs[place, where], present[place, where] = opinion.scores, True
        weights = reliable(outputs, present, self.proxy.targets[asked])
        known = weights.sum(dim=0) > 0
        means = weights.mean(dim=1).tolist() if len(asked) else [0.0] * len(opinions)
        self._weights = dict(zip(opinions, means, strict=True))
        teacher = self._pool.clone()
        teacher[asked] = (weights[..., None] * outputs).sum(dim=0).float()
        shares = torch.full((len(self.proxy),), self.distiller.label_weight)
        shares[self._right] = 1.0
        shares[asked[~known]] = 1.0
        return teacher, shares


@dataclass(frozen=True, kw_only=True)
class FedGEMS(ServerStrategy):
    """The server asks about labelled public samples that it gets wrong, learns from the clients that are right, and teaches all."""

    takes: ClassVar[tuple[str | None, ...]] = ("logits", "probabilities")
    by_class: ClassVar[bool] = True
    needs_proxy: ClassVar[bool] = True
    needs_proxy_labels: ClassVar[bool] = True
    needs_distiller: ClassVar[bool] = True
    keeps_copies: ClassVar[bool] = True
    asks_alike: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FedGEMSStrategy:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return FedGEMSStrategy(
            student=next(iter(side.students.values())),
            proxy=side.proxy,
            task=side.task,
            distiller=side.distiller,
            codec=side.codec,
            codec_down=side.codec_down,
            validation=side.validation,
            sampling=side.sampling,
        )
