"""Methods that keep something, over tasks and networks of every kind: two actors of Ray give the bytes of one process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.run import start

Outcome = Callable[..., dict[str, object]]

TINY = (
    "runtime={name: ray, num_actors: 2}",
    "threads=1",
    "seed=3",
    "rounds=2",
    "clients=4",
    "clients_per_round=3",
    "data.samples=150",
    "data.test_samples=50",
    "method.client.fit.epochs=1",
    "engine.cohort_size=2",  # else these few clients are one cohort, which one actor trains
)
PUBLIC = "proxy.size=30"
MLP = "model.hidden=[8]"
STUDENT = ("student=mlp", "student.hidden=[8]")
DIGEST, DISTIL = "method.client.digest.epochs=1", "method.distiller.fit.epochs=1"
RUNS = {
    "fedproto": (MLP,),
    "fml": (MLP, *STUDENT, "data=diabetes", "data.predicts=gaussian"),
    "fedgen": (MLP, "method.strategy.steps=5"),
    "kt_pfl": (PUBLIC, "method.strategy.samples_per_round=20"),
    "fedgems": (PUBLIC, MLP, *STUDENT, DIGEST, DISTIL),
    "cfd": (PUBLIC, MLP, DIGEST, DISTIL),
    "fedgkd": ("data=cora", "model=sign", "model.hidden=4"),
    "fedbe": ("data=grammar", "data.letters=3", "data.length=3", "data.samples=19", "data.test_samples=5", "proxy.size=6", "partition=iid", "model=transformer", "model.width=8", DISTIL),
    "fedgkt": (MLP, DISTIL),
    "ban": (MLP, DISTIL, "clients=3"),
    "amtml": (DISTIL, "clients_per_round=null", "rounds=1"),
    "cross_modal_fedmd": (PUBLIC, DIGEST, DISTIL),
    "pcl": ("model.trunk=[8]", "model.branch=[8]"),
    "fedmd": ("data=movielens", "data.samples=800", "data.history=5", PUBLIC, "proxy.by_owner=true", "partition=natural", "partition.merge=true", "model=factorisation", "model.width=4", "method.fusion=borda", "method.client.pretrain.epochs=1", DIGEST, DISTIL),
}  # fmt: skip


@pytest.mark.usefixtures("ray_instance")
@pytest.mark.parametrize("method", RUNS)
def test_two_actors_give_the_bytes_of_one_process(method: str, outcome: Outcome, tmp_path: Path) -> None:
    config = compose([f"method={method}", *TINY, *RUNS[method]])
    ray, inline = (
        start(Experiment.from_config({**config, "runtime": runtime, "output": str(tmp_path / str(place))}))
        for place, runtime in enumerate((config["runtime"], "inline"))
    )
    assert inline.summary["failures"] == 0
    assert outcome(ray.folder) == outcome(inline.folder)
