"""What a run will cost, from its config alone: bytes, client updates and gradient steps.

>>> estimate = estimate_of(Experiment.from_config(compose(["method=fd", "rounds=3", "clients=10"])))
>>> estimate.payload_up
12000
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from fedkd.assembly.experiment import Experiment
from fedkd.assembly.networks import student_model, student_signature
from fedkd.cli.payload import Ground, payload_of
from fedkd.clients import Situation
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package
from fedkd.models._costs import Costs, costs_of
from fedkd.models.base import Model, Signature
from fedkd.tasks import TASKS


@dataclass(frozen=True)
class Estimate:
    """The cost of a run.

    Payload is the exact size of the knowledge by its codec's formula; a serialised message adds some hundred bytes. It is
    exact where all clients of a round answer and, with several architectures, all take part in each round. With a codec whose
    size depends on what is said, a method that asks about fewer samples as it goes on, or clients that speak of their own classes alone,
    it is the most that can be.

    Args:
        networks: numbers that each architecture of the clients learns, and the operations of a forward pass, by its name.
        student: the same of the reported student; none without a student.
        updates: how often a client trains, over all rounds.
        client_steps: gradient steps of all clients, if all had equally much data.
        student_steps: gradient steps of the server, at most.
        up, down: payload in bytes of a round, in both directions; the last entry stands for all later rounds.
        exact: whether the payload follows from the config alone.
        averaged: whether it goes by how many samples clients have, of which only the mean is known.
        rounds: number of rounds.
        once: bytes of the proxy set, which is shipped once.
    """

    networks: Mapping[str, Costs]
    student: Costs | None
    updates: int
    client_steps: int
    student_steps: int
    up: tuple[int, ...] | None
    down: tuple[int, ...] | None
    exact: bool
    averaged: bool
    rounds: int
    once: int

    @property
    def payload_up(self) -> int | None:
        """Payload of all rounds from clients to server; none for a kind of knowledge that nobody here knows."""
        return None if self.up is None else _total(self.up, self.rounds)

    @property
    def payload_down(self) -> int | None:
        """Payload of all rounds from server to clients."""
        return None if self.down is None else _total(self.down, self.rounds)


def estimate_of(experiment: Experiment) -> Estimate:
    """Estimate what an experiment costs; nothing is loaded or started."""
    settings, method = experiment.settings, experiment.method
    clients = 1 if method.pool else settings.clients
    active = min(settings.clients_per_round or clients, clients)
    networks, student = network_costs(experiment)
    asked = _asked(experiment)
    up, down = _payload(experiment, clients, active, asked)
    times = method.strategy.distillations * (len(networks) if method.strategy.distils_groups else 1)
    averaged = method.split_layer is not None
    taught = active * _own(experiment, clients) if averaged else asked
    distilled = (
        0 if method.distiller is None else method.distiller.fit.steps(taught) * times * settings.rounds
    )
    return Estimate(
        networks=networks,
        student=student,
        updates=active * (1 if method.strategy.rests else settings.rounds),
        client_steps=_client_steps(experiment, clients, active, asked),
        student_steps=distilled,
        up=up,
        down=down,
        exact=not averaged
        and not method.own_classes
        and method.strategy.asks_alike
        and all(codec.fixed_size for codec in method.codecs),
        averaged=averaged,
        rounds=settings.rounds,
        once=_once(experiment),
    )


def network_costs(experiment: Experiment) -> tuple[Mapping[str, Costs], Costs | None]:
    """Return what the network of each architecture of the clients costs, by its name, and what the server's does; none without one."""

    def costs(model: Model, signature: Signature) -> Costs:
        return costs_of(_network(experiment, model, signature), signature)

    samples = Signature.of(experiment.data)
    clients = {name: costs(model, samples) for name, model in experiment.model.architectures().items()}
    if not (experiment.method.strategy.has_student or experiment.method.split_layer):
        return clients, None
    return clients, costs(student_model(experiment), student_signature(experiment))


def cost_words(networks: Mapping[str, Costs], student: Costs | None) -> dict[str, str]:
    """Return parameters, and operations of a forward pass, of all networks in words."""
    fields = {"parameters": "parameters", "FLOPs a sample": "flops"}
    said = {}
    for name, field in fields.items():
        own = ", ".join(f"{network} {getattr(costs, field):,}" for network, costs in networks.items())
        theirs = "no student" if student is None else f"student {getattr(student, field):,}"
        said[name] = f"{own}; {theirs}"
    return said


def _total(rounds: tuple[int, ...], count: int) -> int:
    return sum(rounds[min(number, len(rounds) - 1)] for number in range(count))


def _network(experiment: Experiment, model: Model, signature: Signature) -> nn.Module:
    with Streams(experiment.settings.seed).initialising("estimate"):
        return model.build(signature)


def _asked(experiment: Experiment) -> int:
    """Return how many proxy samples a round is about."""
    if experiment.proxy is None:
        return 0
    return experiment.method.strategy.asks_about(experiment.proxy.count(experiment.data.sizes().train))


def _payload(
    experiment: Experiment, clients: int, active: int, asked: int
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Return the payload up and down by round; with clients of several architectures, that of their mean."""
    # What crosses of a client that carries the student is the student.
    carries = experiment.method.client.carries_student
    models = (student_model(experiment),) * clients if carries else experiment.model.per_client(clients)
    shape, outputs = next(iter(experiment.data.views.values())), experiment.data.num_outputs
    places = math.prod(TASKS[experiment.data.task].answer(experiment.data)[:-1])
    each = {
        model: payload_of(
            experiment.method,
            Ground(
                _network(experiment, model, Signature.of(experiment.data)),
                shape,
                asked,
                outputs,
                places,
                _own(experiment, clients),
            ),
        )
        for model in set(models)
    }
    payloads = [payload for model in models if (payload := each[model]) is not None]
    if len(payloads) < len(models):
        return None, None
    up, first, later = (
        sum(getattr(payload, part) for payload in payloads) * active // clients
        for part in ("up", "first", "later")
    )
    return (up, 0) if experiment.method.strategy.rests else (up,), (first, later)


def _client_steps(experiment: Experiment, clients: int, active: int, asked: int) -> int:
    """Return the steps of all clients, each with its share of the pool, and with a first round and later ones."""
    public = 0 if experiment.proxy is None else experiment.proxy.count(experiment.data.sizes().train)
    size = {"private": _own(experiment, clients), "proxy": asked, "public": public}
    word = Package("estimate", {"values": torch.zeros(asked, experiment.data.num_outputs)})
    rounds = []
    for situation in (
        Situation(first=True, received=None, start={}),
        Situation(first=False, received=word, start={}),
    ):
        stages = experiment.method.client.stages(situation)
        rounds.append(active * sum(stage.plan.steps(size[stage.source]) for stage in stages))
    further = 0 if experiment.method.strategy.rests else experiment.settings.rounds - 1
    return rounds[0] + rounds[1] * further


def _own(experiment: Experiment, clients: int) -> int:
    """Return how many samples a client trains on, on average."""
    pool = experiment.data.sizes().train
    dealt = pool - (0 if experiment.proxy is None else experiment.proxy.taken(pool))
    return max(1, round(dealt / clients * (1 - experiment.partition.holdout)))


def _once(experiment: Experiment) -> int:
    """Return the size of the proxy set as it is shipped: float32 inputs or int64 symbols, 8 bytes an id, and its labels if they may be used."""
    if experiment.proxy is None or not experiment.method.needs_proxy:
        return 0
    data = experiment.data
    sizes = {
        view: (8 if view in data.symbols else 4) * math.prod(shape) for view, shape in data.views.items()
    }
    sample = sum(sizes.values()) + 8
    if experiment.labels_on_proxy:
        task = TASKS[data.task]
        places = math.prod(task.answer(data)[:-1])
        sample += 8 * places if task.probabilistic or task.embeds else 4 * data.target_width
    return sample * experiment.proxy.count(data.sizes().train)
