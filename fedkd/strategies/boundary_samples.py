"""One-shot learning without data: a student of any architecture learns from the clients' networks on generated samples (DENSE).

Zhang, Chen, Li, Lyu, Wu, Ding, Shen & Wu, "DENSE: Data-Free One-Shot Federated Learning" (NeurIPS 2022; arXiv 2112.12371), Algorithm 1. Each of
m clients trains a network f_k of any architecture and sends it once. With D(x) = sum_k f_k(x) / m, the mean of their logits, p_D and p its
and the student's probabilities, a generator G learns from noise z and classes y that are drawn alike to make samples x = G(z, y),

    min_G  L_CE + statistics L_BN + boundary L_div,   by turns with   min_student  KL(p_D(x) || p(x))
    L_CE  = CE(p_D(x), y)                                                      clients see the class in them
    L_BN  = 1/m sum_k sum_l |mu_l(x) - mu_kl| + |sigma^2_l(x) - sigma^2_kl|    layers l of BatchNorm see what is usual for client k
    L_div = - w KL(p_D(x) || p(x))                                             samples between the boundaries of D and the student:
                                                                               w = 1 where both name other classes, else 0

For each batch of noise and classes come some steps of G, then some of the student. |.| are norms; networks without BatchNorm have no L_BN.

As in the authors' code, the student learns on samples drawn from all that were made in the round.
`mean: probabilities` is not in the paper: under strong skew clients are sure of what they have not seen, and logits know no bound.

With more rounds than one, clients go on training their networks, and student and generator go on from where they were.
Differs from the paper: the generator is told the class, and has one hidden layer in place of convolutions. In the authors' code noise is learned too,
and the generator begins anew with each batch.
"""

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Count, NonNegative
from fedkd.foundation.seeding import drawing_from
from fedkd.models._generator import SampleGenerator
from fedkd.models.base import run_with
from fedkd.strategies._ensemble import tensors
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._generated import Batch, Game, Rhythm, views_of
from fedkd.strategies._replies import MeanMetrics, Shapes, read_weights, shapes_of
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.training import Optimizer

Network = tuple[nn.Module, Mapping[str, Tensor]]
"""A network's form, and its weights."""

Mean = Literal["logits", "probabilities"]


class DENSE(Federated):
    """Takes the clients' networks, all of which a round holds, and lets a student learn from them on samples that a generator makes.

    Args:
        student: the server's network, of any architecture.
        networks: a network for each architecture of the clients, by name; a single one stands for all.
        generator: makes inputs of the networks out of noise and classes.
        classes: how many classes there are.
        architecture_of: name of each client's architecture; clients that are not named have the first.
        options: how generator and student are trained; by default those of the recipe's part.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        networks: nn.Module | Mapping[str, nn.Module],
        generator: SampleGenerator,
        classes: int,
        architecture_of: Mapping[int, str] | None = None,
        options: "BoundarySamples | None" = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        named = {"model": networks} if isinstance(networks, nn.Module) else networks
        self._networks = {name: copy.deepcopy(network).eval() for name, network in named.items()}
        self._shapes: dict[str, Shapes] = {
            name: shapes_of(ArrayRecord(network.state_dict())) for name, network in self._networks.items()
        }
        self._architecture_of = architecture_of or {}
        self.student, self.generator, self.classes = student, generator, classes
        self.options = options or BoundarySamples()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients to train; nothing goes down to them."""
        self.student.load_state_dict(arrays.to_torch_state_dict())
        return self.broadcast(server_round, config, grid, {})

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the clients' networks, let the student learn from them, and return its weights."""
        heard, metrics = dict[int, Network](), MeanMetrics()
        for answer in self.sift(replies, self._read):
            heard[answer.client] = answer.said
            metrics.add(answer.content)
        if not heard:
            return None, metrics.result()
        draw = self.streams.torch("boundary-samples", round=server_round)
        # What dropout leaves out belongs to this round, as what is drawn for the generator does.
        with drawing_from(draw.initial_seed()):
            _Search(self, [heard[client] for client in sorted(heard)]).play(draw)
        return ArrayRecord(self.student.state_dict()), metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the generator."""
        return dict(self.generator.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the generator."""
        self.generator.load_state_dict(dict(state))

    def _read(self, message: Message) -> Network:
        client = self.client_of(message.metadata.src_node_id)
        name = self._architecture_of.get(client, next(iter(self._networks)))
        return self._networks[name], tensors(read_weights(message.content, self._shapes[name]))


class _Search(Game):
    """The game of a round, with its clients' networks.

    Args:
        strategy: has the generator, the student and the options.
        teachers: the clients' networks.
    """

    def __init__(self, strategy: DENSE, teachers: list[Network]) -> None:
        super().__init__(strategy.generator, strategy.student, strategy.options)
        self.options, self.classes, self.teachers = strategy.options, strategy.classes, teachers
        self._pool: list[tuple[Batch, Tensor]] = []

    def labels(self, size: int, draw: torch.Generator) -> Int[Tensor, " size"]:
        """Draw every class alike."""
        return torch.randint(self.classes, (size,), generator=draw)

    def makers_loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Return `L_CE + statistics L_BN + boundary L_div`."""
        said, unusual = ensemble(self.teachers, batch.made, self.options.mean)
        loss = F.cross_entropy(said, batch.labels) + self.options.statistics * unusual
        return loss - self.options.boundary * disagreement(self.said_by_student(batch.made), said)

    def lesson(
        self, batch: Batch, answers: Float[Tensor, "n classes"], draw: torch.Generator
    ) -> tuple[Batch, Float[Tensor, "n classes"]]:
        """Return samples that are drawn from all that were made in the round, with what was said about them, as many as in a batch."""
        if not self._pool or self._pool[-1][0] is not batch:
            self._pool.append((batch, answers))
        size = len(batch.made)
        drawn = torch.randint(len(self._pool) * size, (size,), generator=draw)
        places = [(self._pool[int(one) // size], int(one) % size) for one in drawn]
        parts = [
            (kept.noise[row], kept.labels[row], kept.made[row], said[row]) for (kept, said), row in places
        ]
        noise, labels, made, said = (torch.stack(each) for each in zip(*parts, strict=True))
        return Batch(noise, labels, made), said

    def answers(self, batch: Batch) -> Float[Tensor, "n classes"]:
        """Return the mean of the clients' logits."""
        return ensemble(self.teachers, batch.made, self.options.mean)[0]

    def learners_loss(self, batch: Batch, answers: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
        """Return `KL(p_D || p)`."""
        return divergence(self.said_by_student(batch.made), answers).mean()


def ensemble(
    teachers: list[Network], made: Float[Tensor, "n ..."], mean: Mean = "logits"
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, ""]]:
    """Return the mean of the networks' logits about samples, or the logarithm of that of their probabilities, and `L_BN`: how unusual these are for them."""
    said, unusual = [], made.new_zeros(())
    for network, weights in teachers:
        with batch_statistics(network) as distances:
            said.append(run_with(network, weights, views_of(network, made)).logits)
        unusual = unusual + sum(distances, made.new_zeros(())) / len(teachers)
    logits = torch.stack(said)
    if mean == "logits":
        return logits.mean(dim=0), unusual
    return F.log_softmax(logits, dim=-1).logsumexp(dim=0) - math.log(len(teachers)), unusual


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that gets, of each layer of BatchNorm that sees something in this context, how far that is from its running mean and variance."""
    distances: list[Tensor] = []

    def look(layer: nn.Module, read: tuple[Tensor, ...]) -> None:
        seen = read[0]
        spread, mean = torch.var_mean(seen, dim=[0, *range(2, seen.ndim)], correction=0)
        apart = (mean - layer.get_buffer("running_mean"), spread - layer.get_buffer("running_var"))
        distances.append(torch.stack([torch.linalg.vector_norm(one) for one in apart]).sum())

    with contextlib.ExitStack() as stack:
        for layer in network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001  (the common base of BatchNorm1d to 3d)
                stack.callback(layer.register_forward_pre_hook(look).remove)
        yield distances


def divergence(
    student: Float[Tensor, "n classes"], teacher: Float[Tensor, "n classes"]
) -> Float[Tensor, " n"]:
    """Return `KL(teacher || student)` of each sample."""
    log_teacher, log_student = F.log_softmax(teacher, dim=-1), F.log_softmax(student, dim=-1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim=-1)


def disagreement(
    student: Float[Tensor, "n classes"], teacher: Float[Tensor, "n classes"]
) -> Float[Tensor, ""]:
    """Return the mean over all samples of `KL(teacher || student)` where both name other classes, and of 0 where they name the same."""
    differ = student.argmax(dim=-1) != teacher.argmax(dim=-1)
    return (divergence(student, teacher) * differ).mean()


@dataclass(frozen=True, kw_only=True)
class BoundarySamples(ServerStrategy, Rhythm):
    """Clients send their networks; a student of any architecture learns from them on samples that a generator makes (DENSE)."""

    mean: Mean = "logits"
    """What the clients say together: the mean of their logits (paper), or of their probabilities, in which no client outshouts the others."""

    statistics: NonNegative = 1.0
    """Weight of the term on layers of BatchNorm; 1 in the paper."""

    boundary: NonNegative = 0.5
    """Weight of the divergence where clients and student name other classes; 0.5 in the paper."""

    generator_steps: Count = 3
    """Steps of the generator on each batch; 30 in the paper."""

    optimizer: Optimizer = field(default_factory=lambda: Optimizer(name="adam", lr=0.001))
    """The generator's optimiser, new in each round."""

    student: Optimizer = field(default_factory=lambda: Optimizer(lr=0.01, momentum=0.9))
    """The student's optimiser, new in each round."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = True
    sends_weights: ClassVar[bool] = False

    def create(self, side: ServerSide) -> DENSE:
        """Return the Flower strategy."""
        views = {getattr(network, "view", None) for network in side.students.values()}
        if len(views) > 1:
            raise IllegalCombination(
                f"method.strategy=boundary_samples makes samples of one view, and these networks read {', '.join(sorted(map(str, views)))}; "
                "give all models and the student one view"
            )
        student = next(iter(side.students.values()))
        return DENSE(
            student=student,
            networks=side.students,
            generator=self.generator_for(side),
            classes=side.num_outputs,
            architecture_of=side.architecture_of,
            options=self,
            sampling=side.sampling,
        )
