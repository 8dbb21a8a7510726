"""What must hold of every client strategy. Most clauses train real clients, some of which have hardly any data.

A strategy is tested in an opening round, in which nothing was received, and after every kind of knowledge that it takes:
a kind that its `remember` or `stages` refuse, or that has no ids where a stage needs them, is not meant for it.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fedkd.clients import CLIENTS as FAMILY
from fedkd.clients import ClientStrategy, Step
from fedkd.data.federated import FederatedData
from fedkd.engine.evaluating import METRICS, NUM_EXAMPLES
from fedkd.knowledge import ARRAYS
from fedkd.testing.contract import Broken, Contract, generators_left_alone, one_line, require
from fedkd.testing.ground import CLIENTS, EMPTY, FEW_CLASSES, ONE, SEVEN, USUAL, diabetes, digits
from fedkd.testing.rehearsal import in_bytes, replies, rounds, takes


def rounds_work_with_and_without_knowledge(strategy: ClientStrategy) -> None:
    """The first round brings no knowledge; later ones bring a kind that the strategy can take."""
    takes(strategy, digits())


def stages_have_names_of_their_own(strategy: ClientStrategy) -> None:
    """No two stages of a round draw their batches from the same stream."""
    for one in rounds(strategy, digits()):
        names = [scene.stage.name for scene in one.scenes]
        require(len(set(names)) == len(names), f"stages of one round have the same name ({', '.join(names)})")


def losses_are_one_finite_number(strategy: ClientStrategy) -> None:
    """The loss of a batch is a single finite number, for batches of many samples and of one."""
    _require_losses(strategy, USUAL)


def losses_change_nothing(strategy: ClientStrategy) -> None:
    """A loss only looks: weights, memory, targets and teacher are afterwards what they were."""
    for one in rounds(strategy, digits()):
        for scene in one.scenes:
            before = {name: tensor.detach().clone() for name, tensor in _seen(scene.step).items()}
            scene.stage.loss(scene.step)
            for name, tensor in _seen(scene.step).items():
                require(
                    torch.equal(tensor, before[name]),
                    f"the loss of stage {scene.stage.name!r} writes into {name}",
                )


def the_gradient_reaches_every_parameter(strategy: ClientStrategy) -> None:
    """In each round every weight that can learn does so from at least one stage."""
    _require_gradients(strategy, digits())


def clients_of_0_1_and_7_samples_work(strategy: ClientStrategy) -> None:
    """Hardly any data is no reason to fail: weights stay finite, and the number of samples is told."""
    _require_healthy(strategy, digits(), (EMPTY, ONE, SEVEN))


def absent_classes_work(strategy: ClientStrategy) -> None:
    """A client that has samples of a few classes only learns all the same."""
    _require_losses(strategy, FEW_CLASSES)
    _require_healthy(strategy, digits(), (FEW_CLASSES,))


def numbers_work_unless_it_needs_classes(strategy: ClientStrategy) -> None:
    """A strategy that does not say `needs_classes = True` trains on a regression as well."""
    if strategy.needs_classes:
        return
    try:
        _require_healthy(strategy, diabetes(), (ONE, SEVEN, USUAL))
        _require_gradients(strategy, diabetes())
    except Exception as error:
        raise Broken(
            f"on a regression: {one_line(error)}; if it is about classes, say needs_classes = True"
        ) from error


def marked_losses_are_means_over_samples(strategy: ClientStrategy) -> None:
    """A loss that is marked `@samplewise` is on a batch the mean of what it is on each sample."""
    for one in rounds(strategy, digits()):
        for scene in one.scenes:
            if not scene.stage.samplewise:
                continue
            whole = scene.stage.loss(scene.step)
            single = [
                scene.stage.loss(scene.of_samples(slice(row, row + 1)))
                for row in range(len(scene.step.targets))
            ]
            require(
                torch.allclose(whole, torch.stack(single).mean(), rtol=1e-4, atol=1e-5),
                f"the loss of stage {scene.stage.name!r} is marked @samplewise, and is not the mean over its samples; leave the mark out",
            )


def both_engines_give_the_same(strategy: ClientStrategy) -> None:
    """Trained at once, clients end with the weights that they have when trained one after the other."""
    if not strategy.vectorises:
        return
    with _heard() as said:
        at_once = replies(strategy, digits(), together=True)
    require(
        not said,
        f"clients cannot be trained at once ({said and said[0]}); a strategy that is not meant to says vectorises = False",
    )
    for received, by_client in replies(strategy, digits()).items():
        for client, answers in by_client.items():
            for answer, other in zip(answers, at_once[received][client], strict=True):
                for name, array in answer.array_records[ARRAYS].items():
                    one, two = (
                        torch.from_numpy(sent.numpy()) for sent in (array, other.array_records[ARRAYS][name])
                    )
                    require(
                        torch.allclose(one, two, rtol=1e-3, atol=1e-4 * float(one.abs().max())),
                        f"client {client}, having received {received}, ends with other weights {name} when clients are trained at once",
                    )


def two_runs_give_the_same_bytes(strategy: ClientStrategy) -> None:
    """Training twice from the same start gives the same weights, bit for bit."""
    _require_same(strategy, "two equal runs end in different weights")


def the_order_of_clients_does_not_matter(strategy: ClientStrategy) -> None:
    """What a client learns does not depend on who was before it in the same process."""
    reason = "trained in another order, clients end in different weights; something is shared between them"
    _require_same(strategy, reason, clients=CLIENTS[::-1])


def a_client_goes_on_from_its_stored_state(strategy: ClientStrategy) -> None:
    """What a client keeps, written and read by another process, is all that it needs to go on."""
    reason = "from its stored state a client goes on differently; the strategy itself keeps something between rounds"
    _require_same(strategy, reason, moved=True)


def global_generators_are_left_alone(strategy: ClientStrategy) -> None:
    """Nobody draws from a generator that all share."""
    with generators_left_alone():
        replies(strategy, digits())


CONTRACT = Contract(
    FAMILY,
    ClientStrategy,
    (
        rounds_work_with_and_without_knowledge,
        stages_have_names_of_their_own,
        losses_are_one_finite_number,
        losses_change_nothing,
        the_gradient_reaches_every_parameter,
        clients_of_0_1_and_7_samples_work,
        absent_classes_work,
        numbers_work_unless_it_needs_classes,
        marked_losses_are_means_over_samples,
        both_engines_give_the_same,
        two_runs_give_the_same_bytes,
        the_order_of_clients_does_not_matter,
        a_client_goes_on_from_its_stored_state,
        global_generators_are_left_alone,
    ),
)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Listen to what the engine says of cohorts that it cannot train at once."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(one_line(Exception(record.getMessage())))  # type: ignore[method-assign]
    logger = logging.getLogger("fedkd.engine.handlers")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _require_healthy(strategy: ClientStrategy, data: FederatedData, clients: Sequence[int]) -> None:
    for said, by_client in replies(strategy, data, clients).items():
        for client, answers in by_client.items():
            size = len(data.client_train(client))
            who = f"a client of {size} samples, having received {said},"
            for answer in answers:
                told = answer.metric_records[METRICS][NUM_EXAMPLES]
                require(told == size, f"{who} says that it has {told}")
                for name, array in answer.array_records[ARRAYS].items():
                    finite = torch.from_numpy(array.numpy().copy()).isfinite().all()
                    require(finite, f"{who} ends with weights {name} that are not finite")


def _require_losses(strategy: ClientStrategy, client: int) -> None:
    for one in rounds(strategy, digits(), client):
        for scene in one.scenes:
            for size in (len(scene.step.targets), 1):
                loss = scene.stage.loss(scene.of_size(size))
                where = (
                    f"the loss of stage {scene.stage.name!r} on {size} samples, having received {one.said},"
                )
                require(loss.ndim == 0, f"{where} has shape {list(loss.shape)}; take the mean over the batch")
                require(loss.isfinite(), f"{where} is {float(loss.detach())}")


def _require_gradients(strategy: ClientStrategy, data: FederatedData) -> None:
    for one in rounds(strategy, data):
        reached: dict[str, bool] = {}
        for scene in one.scenes:
            loss = scene.stage.loss(scene.step)
            require(loss.requires_grad, f"no gradient flows from the loss of stage {scene.stage.name!r}")
            learned = [
                (name, weight) for name, weight in scene.network.named_parameters() if weight.requires_grad
            ]
            names, weights = zip(*learned, strict=True)
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            for name, gradient in zip(names, gradients, strict=True):
                reached[name] = reached.get(name, False) or (gradient is not None and bool(gradient.any()))
        missed = [name for name, learns in reached.items() if not learns]
        require(not missed, f"having received {one.said}, it does not reach {', '.join(missed)}")


def _require_same(
    strategy: ClientStrategy, reason: str, *, clients: Sequence[int] = CLIENTS, moved: bool = False
) -> None:
    first = in_bytes(replies(strategy, digits()))
    second = in_bytes(replies(strategy, digits(), clients, moved=moved))
    differing = [
        f"client {client}, having received {said}"
        for said, client in first
        if first[said, client] != second[said, client]
    ]
    require(not differing, f"{reason} ({', '.join(differing[:2])})")


def _seen(step: Step) -> dict[str, Tensor]:
    """Return every tensor that a loss may look at, by a name for people."""
    teacher = {} if step.teacher is None else {"the teacher": step.teacher}
    weights = {f"weights {name}": weight for name, weight in step.parameters.items()}
    memory = {f"memory {name}": tensor for name, tensor in step.memory.items()}
    said = {name: part for name, part in step.outputs._asdict().items() if part is not None}
    if step.public is not None:
        heard = step.public._asdict().items()
        said |= {f"{name} of public samples": part for name, part in heard if part is not None}
    outputs = {**said, "targets": step.targets}
    return {**outputs, **teacher, **weights, **memory}
