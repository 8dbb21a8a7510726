from pathlib import Path

import pytest
import torch

import fedkd
from fedkd.data.datasets.digits import Digits
from fedkd.data.partitions.dirichlet import Dirichlet
from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams
from fedkd.models.base import predict
from fedkd.models.mlp import MLP
from fedkd.training import Fit, Optimizer
from simulations.teachers import TASK, Teachers, scores


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    plan = Fit(epochs=2, optimizer=Optimizer(lr=0.05, momentum=0.9))
    partition = Dirichlet(alpha=0.5)
    return Teachers.trained(Digits(), partition, MLP(hidden=(16,)), plan, clients=3, reserve=100, seed=3)


def test_the_average_of_the_teachers_is_the_student_of_a_run_of_one_round(
    teachers: Teachers, tmp_path: Path
) -> None:
    plan = "method.client.fit.epochs=2", "method.client.fit.optimizer.clip_norm=null"
    options = (
        "clients=3",
        "rounds=1",
        "proxy.size=100",
        "model.hidden=[16]",
        "seed=3",
        "runtime=inline",
        "threads=1",
    )
    run = fedkd.run("method=fedavg", *plan, *options, "engine=sequential", f"output={tmp_path / 'run'}")
    outputs = predict(teachers.average, teachers.data.test.inputs)
    own = TASK.metrics(outputs, teachers.data.test.targets)
    assert own["accuracy"] == run.final["student/test/accuracy"]
    assert own["loss"] == pytest.approx(run.final["student/test/loss"], rel=1e-5)


def test_scores_of_answers_that_are_known_by_hand(teachers: Teachers) -> None:
    inputs = {"image": teachers.data.validation.inputs["image"][:10]}
    proxy = Samples(inputs, torch.arange(10), torch.arange(10))
    sure = 200.0 * torch.eye(10).repeat(3, 1, 1)
    told = scores(teachers, proxy, sure)
    assert told["confidence"] == pytest.approx(1)
    assert told["agreement"] == pytest.approx(1)
    assert told["coverage"] == pytest.approx(1)
    assert told["information"] == pytest.approx(1)
    silent = scores(teachers, proxy, torch.zeros(3, 10, 10))
    assert silent["confidence"] == pytest.approx(0.1)
    assert silent["negative entropy"] == pytest.approx(-1)
    assert silent["information"] == pytest.approx(0)
    assert silent["likeness"] > 0.5


def test_half_agreement_and_one_named_class(teachers: Teachers) -> None:
    proxy = teachers.data.validation.take(range(20))
    answers = torch.zeros(3, 20, 10)
    answers[0, :, 0] = answers[1, :, 0] = answers[2, :, 1] = 200.0
    told = scores(teachers, proxy, answers)
    assert told["agreement"] == pytest.approx(1 / 3)
    assert told["information"] == pytest.approx(0)


def test_noise_is_unlike_the_clients_data(teachers: Teachers) -> None:
    noise = {"image": torch.rand(60, 1, 8, 8, generator=Streams(0).torch("noise"))}
    near = teachers.data.proxy
    assert near is not None
    far = Samples(noise, torch.full((60,), -1), torch.arange(60))
    likeness = [scores(teachers, proxy, teachers.say(proxy.inputs))["likeness"] for proxy in (near, far)]
    assert likeness[0] > 0.7
    assert likeness[1] < 0.2
