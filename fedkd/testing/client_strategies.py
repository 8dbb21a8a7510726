"""What must hold of every client strategy. Each clause trains real clients, some of which have hardly any data.

A strategy is tested in an opening round, in which nothing was received, and in rounds after every kind of knowledge that
it takes: a kind that `remember` and `stages` refuse, or that has no ids where a stage needs them, is not meant for it.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor, nn

from fedkd.clients import CLIENTS as FAMILY
from fedkd.clients import ClientStrategy, Situation, Stage, Step
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train
from fedkd.engine.handlers import CONFIG, METRICS, NUM_EXAMPLES, WEIGHTS
from fedkd.foundation.parts import build, dump
from fedkd.knowledge import ARRAYS, Package, to_records
from fedkd.models.base import run_network
from fedkd.runtime.flower_internals import decode, encode
from fedkd.testing.contract import Broken, Contract, generators_left_alone, one_line, require
from fedkd.testing.ground import CLIENTS, EMPTY, FEW_CLASSES, ONE, SEVEN, USUAL, client_side, diabetes, digits
from fedkd.testing.received import everything_said


def rounds_open_with_and_without_knowledge(strategy: ClientStrategy) -> None:
    """The first round brings no knowledge, and later ones bring a kind that the strategy can take."""
    require(_taken(strategy, digits()), "there is no round that it can take part in")


def stages_have_names_of_their_own(strategy: ClientStrategy) -> None:
    """No two stages of a round draw their batches from the same stream."""
    for _, stages in _rounds(strategy):
        names = [stage.name for stage, *_ in stages]
        require(len(set(names)) == len(names), f"two stages of a round have the same name: {', '.join(names)}")


def losses_are_one_finite_number(strategy: ClientStrategy) -> None:
    """The loss of a batch is a single finite number, for batches of many samples and of one."""
    for said, stages in _rounds(strategy):
        for stage, network, step in stages:
            for size in (len(step.targets), 1):
                loss = stage.loss(_first(step, size, network))
                where = f"the loss of stage {stage.name!r} on {size} samples, having received {said},"
                require(loss.ndim == 0, f"{where} has shape {list(loss.shape)}; take the mean over the batch")
                require(loss.isfinite(), f"{where} is {float(loss.detach())}")


def losses_change_nothing(strategy: ClientStrategy) -> None:
    """A loss only looks: weights, memory, targets and teacher are afterwards what they were."""
    for _, stages in _rounds(strategy):
        for stage, _, step in stages:
            before = _copies(step)
            stage.loss(step)
            for name, tensor in _copies(step).items():
                same = torch.equal(tensor, before[name])
                require(same, f"the loss of stage {stage.name!r} writes into {name}; losses must change nothing")


def the_gradient_reaches_every_parameter(strategy: ClientStrategy) -> None:
    """In each round every weight learns from at least one stage."""
    for said, stages in _rounds(strategy):
        reached: set[str] = set()
        for stage, network, step in stages:
            loss = stage.loss(step)
            require(loss.requires_grad, f"no gradient flows from the loss of stage {stage.name!r}")
            gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
            names = [name for name, _ in network.named_parameters()]
            reached |= {name for name, found in zip(names, gradients, strict=True) if found is not None and found.any()}
        missed = [name for name, _ in network.named_parameters() if name not in reached]
        require(not missed, f"having received {said}, the gradient does not reach {', '.join(missed)}")


def clients_of_0_1_and_7_samples_work(strategy: ClientStrategy) -> None:
    """Hardly any data is no reason to fail: the weights stay finite, and the number of samples is told."""
    _require_healthy(strategy, digits(), (EMPTY, ONE, SEVEN))


def absent_classes_work(strategy: ClientStrategy) -> None:
    """A client that has samples of a few classes only learns all the same."""
    _require_healthy(strategy, digits(), (FEW_CLASSES,))


def numbers_work_unless_it_needs_classes(strategy: ClientStrategy) -> None:
    """A strategy that does not say `needs_classes = True` trains on a regression as well."""
    if strategy.needs_classes:
        return
    try:
        _require_healthy(strategy, diabetes(), (ONE, SEVEN, USUAL))
    except Exception as error:
        raise Broken(f"on a regression: {one_line(error)}; if it is about classes, say needs_classes = True") from error


def two_runs_give_the_same_bytes(strategy: ClientStrategy) -> None:
    """Training twice from the same start gives the same weights, bit for bit."""
    same = _runs(strategy) == _runs(strategy)
    require(same, "two equal runs end in different weights")


def the_order_of_clients_does_not_matter(strategy: ClientStrategy) -> None:
    """What a client learns does not depend on who was before it in the same process."""
    same = _runs(strategy) == _runs(strategy, clients=tuple(reversed(CLIENTS)))
    require(same, "clients end in different weights when they train in another order; something is shared between them")


def a_client_goes_on_from_its_stored_state(strategy: ClientStrategy) -> None:
    """What a client keeps, written and read by another process, is all that it needs to go on."""
    same = _runs(strategy) == _runs(strategy, moved=True)
    require(same, "a client whose state was stored goes on differently; the strategy itself keeps something between rounds")


def global_generators_are_left_alone(strategy: ClientStrategy) -> None:
    """Nobody draws from a generator that all share."""
    with generators_left_alone():
        _runs(strategy)


CONTRACT = Contract(
    FAMILY,
    ClientStrategy,
    (
        rounds_open_with_and_without_knowledge,
        stages_have_names_of_their_own,
        losses_are_one_finite_number,
        losses_change_nothing,
        the_gradient_reaches_every_parameter,
        clients_of_0_1_and_7_samples_work,
        absent_classes_work,
        numbers_work_unless_it_needs_classes,
        two_runs_give_the_same_bytes,
        the_order_of_clients_does_not_matter,
        a_client_goes_on_from_its_stored_state,
        global_generators_are_left_alone,
    ),
)


def _taken(strategy: ClientStrategy, data: FederatedData) -> dict[str, Package | None]:
    """Return what the strategy can receive; nothing is among it, and something unless it looks at nothing."""
    side = client_side(strategy, data)
    taken: dict[str, Package | None] = {}
    refused = {}
    for said, package in everything_said(data).items():
        try:
            stages = strategy.stages(_situation(side, side.network(USUAL), package))
            strategy.remember(_situation(side, side.network(USUAL), package))
        except Exception as error:  # noqa: BLE001  (any refusal means: this kind is not meant for it)
            refused[said] = one_line(error)
            continue
        if any(stage.source == "proxy" for stage in stages) and (package is None or package.ids is None):
            refused[said] = "a stage on the proxy set, with no word about proxy samples received"
            continue
        taken[said] = package
    require("nothing" in taken, f"a round in which nothing was received fails: {refused.get('nothing')}")
    require(len(taken) > 1, f"it takes no kind of knowledge: {'; '.join(f'{said}: {why}' for said, why in refused.items())}")
    return taken


def _situation(side: ClientSide, network: nn.Module, package: Package | None) -> Situation:
    start = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    del side
    return Situation(package is None, package, start)


def _rounds(strategy: ClientStrategy) -> Iterator[tuple[str, list[tuple[Stage, nn.Module, Step]]]]:
    """Yield for each kind of knowledge the stages of a round, each with a network and a batch."""
    data = digits()
    side = client_side(strategy, data)
    for said, package in _taken(strategy, data).items():
        stages = []
        situation = _situation(side, side.network(USUAL), package)
        for stage in strategy.stages(situation):
            network = side.network(USUAL)
            # Somewhat moved, so that a term like a distance from the start has a gradient.
            with torch.no_grad():
                for weight in network.parameters():
                    weight.mul_(1.1)
            stages.append((stage, network, _step(side, stage, network, situation)))
        yield said, stages


def _step(side: ClientSide, stage: Stage, network: nn.Module, situation: Situation) -> Step:
    package = situation.received
    samples, teacher = side.data.client_train(USUAL), None
    if stage.source == "proxy":
        assert package is not None
        samples, teacher = side.proxy(package.ids), package.scores()
    elif stage.source == "public":
        samples = side.proxy()
    memory = side.strategy.remember(situation)
    outputs = run_network(network, samples.inputs)
    return Step(outputs, samples.targets, teacher, dict(network.named_parameters()), memory, side.task)


def _first(step: Step, size: int, network: nn.Module) -> Step:
    del network
    outputs = type(step.outputs)(step.outputs.logits[:size], step.outputs.features[:size])
    teacher = None if step.teacher is None else step.teacher[:size]
    return Step(outputs, step.targets[:size], teacher, step.parameters, step.memory, step.task)
