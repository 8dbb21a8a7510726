"""Whole methods on real digits: the server's strategies and the clients' engine, over real Flower messages."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from fedkd.aggregation.fusions.era import ERA
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.clients import ClientStrategy
from fedkd.clients.adaptive_mutual import AdaptiveMutual
from fedkd.clients.codistillation import CoDistillation
from fedkd.clients.fd import FD
from fedkd.clients.fedcad import FedCAD
from fedkd.clients.fedgen import FedGen
from fedkd.clients.fedgkd import FedGKD
from fedkd.clients.fedgkt import FedGKT
from fedkd.clients.fedntd import FedNTD
from fedkd.clients.fedproto import FedProto
from fedkd.clients.fedprox import FedProx
from fedkd.clients.fedssd import FedSSD
from fedkd.clients.fml import FML
from fedkd.clients.isolated import Isolated
from fedkd.clients.supervised import Supervised
from fedkd.clients.teacher import Teacher
from fedkd.data.federated import FederatedData
from fedkd.distillation import Distiller
from fedkd.engine import ClientSide
from fedkd.engine.client import initial_network
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.base import Kind
from fedkd.knowledge.kinds.class_means import ClassMeans
from fedkd.knowledge.kinds.features import Features
from fedkd.knowledge.kinds.labelled_weights import LabelledWeights
from fedkd.knowledge.kinds.logits import Logits
from fedkd.knowledge.kinds.probabilities import Probabilities
from fedkd.knowledge.kinds.prototypes import Prototypes
from fedkd.knowledge.kinds.updates import Updates
from fedkd.knowledge.kinds.weights import Weights
from fedkd.knowledge.package import payload_of
from fedkd.models.base import Model, Signature, predict
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.strategies import STRATEGIES, Federated, Sampling, ServerSide
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
GridMaker = Callable[..., Grid]
FIT = Fit(epochs=3, batch_size=16, optimizer=Optimizer(lr=0.1, momentum=0.9))
MIXED = (MLP(hidden=(32,)), Logistic(), MLP(hidden=(32,)), Logistic())
ALIKE = (Logistic(),) * 4
EQUALLY_WIDE = (MLP(hidden=(16, 32)), MLP(hidden=(32,))) * 2
CODISTILLATION = CoDistillation(fit=FIT, digest=FIT)


class Method(NamedTuple):
    """A method by its parts: server and client strategy, what crosses, and the clients' models."""

    server: str
    strategy: ClientStrategy
    kind: Kind | None
    models: tuple[Model, ...]


METHODS = {
    "local": Method("local", Isolated(fit=FIT), None, MIXED),
    "fedavg": Method("averaging", Supervised(fit=FIT), Weights(), ALIKE),
    "fedprox": Method("averaging", FedProx(fit=FIT, mu=0.1), Weights(), ALIKE),
    "fedntd": Method("averaging", FedNTD(fit=FIT), Weights(), ALIKE),
    "fedgkd": Method("past_averages", FedGKD(fit=FIT), Weights(), ALIKE),
    "fedcad": Method("credibility", FedCAD(fit=FIT), Weights(), ALIKE),
    "fedssd": Method("credibility", FedSSD(fit=FIT), Weights(), ALIKE),
    "fedgen": Method("feature_generator", FedGen(fit=FIT), LabelledWeights(), ALIKE),
    "fedftg": Method("hard_samples", Supervised(fit=FIT), LabelledWeights(), ALIKE),
    "fml": Method("averaging", FML(fit=FIT), Weights(), ALIKE),
    "fedkd": Method("update_averaging", AdaptiveMutual(fit=FIT), Updates(), ALIKE),
    "dense": Method("boundary_samples", Teacher(fit=FIT), Weights(), MIXED),
    "fd": Method("class_means", FD(fit=FIT), ClassMeans(), MIXED),
    "fedproto": Method("prototypes", FedProto(fit=FIT), Prototypes(), EQUALLY_WIDE),
    "fedgkt": Method("group_transfer", FedGKT(fit=FIT), Features(), EQUALLY_WIDE),
    "fedmd": Method("codistillation", CODISTILLATION, Logits(), MIXED),
    "dsfl": Method("codistillation", CODISTILLATION, Probabilities(), MIXED),
    "fedgems": Method("fedgems", CoDistillation(fit=FIT, digest=FIT, label_weight=0.75), Logits(), MIXED),
    "kt_pfl": Method("personal_consensus", CODISTILLATION, Probabilities(), MIXED),
    "similarity_graph": Method("similarity_graph", CODISTILLATION, Probabilities(), MIXED),
    "fedbe": Method("bayesian_ensemble", Supervised(fit=FIT), Weights(), ALIKE),
    "aver": Method("offline_distillation", Teacher(fit=FIT), Weights(), ALIKE),
    "feddf": Method("ensemble_distillation", Supervised(fit=FIT), Weights(), MIXED),
}


def server_of(method: str, data: FederatedData, **changed: Any) -> Federated:
    models, streams = METHODS[method].models, Streams(0)
    names = {model: repr(model) for model in models}
    reads = Signature({"features": (32,)}, 10) if method == "fedgkt" else Signature.of(data.info)
    students = {
        name: initial_network(model, data, streams, owner="server", signature=reads)
        for model, name in names.items()
    }
    usual = {
        "streams": streams,
        "task": Classification(),
        "num_outputs": 10,
        "sampling": Sampling(clients_per_round=3, num_clients=4),
        "students": students,
        "architecture_of": {client: names[model] for client, model in enumerate(models)},
        "proxy": data.proxy,
        "validation": data.validation,
        "weighting": Uniform(),
        "fusion": ERA() if method == "dsfl" else MeanLogits(),
        "distiller": Distiller(fit=Fit(epochs=30, optimizer=Optimizer(name="adam", lr=0.01))),
        "codec": Float32(),
        "student_reads": next(iter(reads.views.values())),
    }
    quick = {"batches": 2} if METHODS[method].server == "boundary_samples" else {}
    part = STRATEGIES.create({"name": METHODS[method].server, **quick}, key="strategy")
    made: Federated = part.create(ServerSide(**(usual | changed)))
    return made


def start(method: str, data: FederatedData) -> ArrayRecord:
    network = initial_network(METHODS[method].models[0], data, Streams(0), owner="server")
    return ArrayRecord(network.state_dict())


def clients_of(method: str, client_side: Maker) -> ClientSide:
    _, strategy, kind, models = METHODS[method]
    return client_side(strategy, kind=kind, models=models)


def test_every_server_strategy_is_played_here() -> None:
    assert {method.server for method in METHODS.values()} == set(STRATEGIES.names())


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_is_the_same_whatever_ids_nodes_have_and_whenever_their_replies_come(
    method: str, client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    ends = []
    for scattered in (None, 1, 2):
        grid = grid_of(clients_of(method, client_side), scattered=scattered)
        game = play(server_of(method, digits), grid, start(method, digits)).round().round()
        state = {name: tensor.clone() for name, tensor in game.strategy.state().items()}
        ends.append((game.arrays.to_torch_state_dict(), state, sorted(game.up), dict(game.metrics)))
    for arrays, state, clients, metrics in ends[1:]:
        assert clients == ends[0][2]
        assert metrics == ends[0][3]
        assert all(torch.equal(array, ends[0][0][name]) for name, array in arrays.items())
        assert all(torch.equal(tensor, ends[0][1][name]) for name, tensor in state.items())
        assert (arrays.keys(), state.keys()) == (ends[0][0].keys(), ends[0][1].keys())


@pytest.mark.parametrize(
    "method",
    [
        "fedavg",
        "fedprox",
        "fedntd",
        "fedgkd",
        "fedcad",
        "fedssd",
        "fedgen",
        "fedftg",
        "fml",
        "fedkd",
        "fedmd",
        "dsfl",
        "fedgems",
        "feddf",
        "fedbe",
        "aver",
    ],
)
def test_flowers_own_loop_runs_a_method_and_its_student_learns(
    method: str, client_side: Maker, digits: FederatedData, grid_of: GridMaker
) -> None:
    strategy = server_of(method, digits, sampling=Sampling(num_clients=4))
    first = start(method, digits)
    result = strategy.start(
        grid=grid_of(clients_of(method, client_side), scattered=3), initial_arrays=first, num_rounds=4
    )
    student = initial_network(METHODS[method].models[0], digits, Streams(0), owner="server")
    before = Classification().metrics(predict(student, digits.test.inputs), digits.test.targets)
    student.load_state_dict(result.arrays.to_torch_state_dict())
    after = Classification().metrics(predict(student, digits.test.inputs), digits.test.targets)
    assert after["accuracy"] > before["accuracy"] + 0.3
    assert sorted(result.train_metrics_clientapp) == [1, 2, 3, 4]
    losses = [float(str(metrics["train-loss"])) for metrics in result.train_metrics_clientapp.values()]
    assert losses[-1] < losses[0]
    assert 0.0 <= float(str(result.evaluate_metrics_clientapp[4]["accuracy"])) <= 1.0


@pytest.mark.parametrize("method", ["local", "fd", "fedproto", "fedgkt", "kt_pfl", "similarity_graph"])
def test_flowers_own_loop_runs_a_method_without_a_student(
    method: str, client_side: Maker, digits: FederatedData, grid_of: GridMaker
) -> None:
    strategy = server_of(method, digits)
    result = strategy.start(
        grid=grid_of(clients_of(method, client_side)), initial_arrays=ArrayRecord(), num_rounds=2
    )
    assert len(result.arrays) == 0
    assert math.isfinite(float(str(result.train_metrics_clientapp[2]["train-loss"])))


def test_fedprox_without_a_pull_is_fedavg_over_whole_rounds(
    client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    ends = []
    for strategy in (Supervised(fit=FIT), FedProx(fit=FIT, mu=0.0)):
        grid = grid_of(client_side(strategy, kind=Weights(), models=ALIKE))
        game = play(server_of("fedavg", digits), grid, start("fedavg", digits)).round().round()
        ends.append(game.arrays.to_torch_state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_fd_of_weight_zero_is_training_alone_over_whole_rounds(
    client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    said = []
    for method, strategy in (("fd", FD(fit=FIT, gamma=0.0)), ("local", Isolated(fit=FIT))):
        grid = grid_of(client_side(strategy, kind=ClassMeans(), models=MIXED))
        game = play(server_of(method, digits), grid).round().round().round()
        said.append(game.up)
    for client in said[0]:
        alone, others = (up[client].array_records["arrays"]["values"].numpy() for up in said)
        assert (alone == others).all()


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        ("local", 0, 0),
        *((method, 4 * 650, 4 * 650) for method in ("fedavg", "fedntd", "fedftg", "fml", "fedkd", "fedbe")),
        ("fedgkd", 4 * 650, 2 * 4 * 650),
        ("fd", 4 * 10 * 10, 4 * 10 * 10),
        *((method, 4 * 650, 4 * 650 + 4 * 10) for method in ("fedcad", "fedssd")),
        ("fedgen", 4 * 650, 4 * 650 + 4 * ((32 + 10 + 1) * 64 + (64 + 1) * 64)),
        *((method, 4 * 40 * 10, 4 * 40 * 10) for method in ("fedmd", "dsfl", "kt_pfl", "similarity_graph")),
        ("aver", 4 * 650, 0),
    ],
)
def test_what_crosses_in_a_round_has_the_size_of_the_papers_formula(
    method: str, up: int, down: int, client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    grid = grid_of(clients_of(method, client_side))
    game = (
        play(server_of(method, digits, sampling=Sampling(num_clients=4)), grid, start(method, digits))
        .round()
        .round()
    )
    assert {payload_of(content) for content in game.up.values()} == {up}
    assert {payload_of(content) for content in game.down.values()} == {down}


def test_a_client_sends_prototypes_of_the_classes_that_it_has_and_is_sent_all(
    client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    targets = digits.train.targets
    some = [np.flatnonzero(np.isin(targets, [3, 7])), np.flatnonzero(targets == 0), *digits.assignments[2:]]
    side = replace(clients_of("fedproto", client_side), data=replace(digits, assignments=tuple(some)))
    sizes = []
    for engine in (Sequential(), Vectorised()):
        strategy = server_of("fedproto", digits, sampling=Sampling(num_clients=4))
        game = play(strategy, grid_of(replace(side, engine=engine))).round().round()
        assert strategy.failures == []
        sizes.append([payload_of(game.up[client]) for client in range(4)])
        assert {payload_of(content) for content in game.down.values()} == {4 * 10 * 32}
    assert sizes[0] == sizes[1] == [4 * 32 * len(targets[rows].unique()) for rows in some]
    assert sizes[0][:2] == [4 * 32 * 2, 4 * 32 * 1]


def test_a_client_without_samples_neither_counts_nor_fails(
    client_side: Maker, digits: FederatedData, grid_of: GridMaker, play: Any
) -> None:
    nothing = np.empty(0, dtype=np.int64)
    data = replace(
        digits, assignments=(nothing, *digits.assignments[1:]), holdouts=(nothing, *digits.holdouts[1:])
    )
    for method in METHODS:
        side = replace(clients_of(method, client_side), data=data)
        strategy = server_of(method, data, sampling=Sampling(num_clients=4))
        game = play(strategy, grid_of(side), start(method, data)).round().round()
        assert strategy.failures == []
        asked = strategy.configure_evaluate(2, game.arrays, ConfigRecord(), game.grid)
        assert [strategy.client_of(message.metadata.dst_node_id) for message in asked] == [1, 2, 3]
        assert all(weight.isfinite().all() for weight in game.arrays.to_torch_state_dict().values())
