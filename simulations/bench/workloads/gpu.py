"""One GPU, where there is one: fedkd against the raw loop on the same GPU."""

import torch

from simulations.bench.contest import Contest
from simulations.bench.job import Contestant
from simulations.bench.settings import Settings, fashion, fedavg, patches
from simulations.bench.tables import Report, compared

TITLE = "One GPU: 1,000 clients MLP, 100 clients LeNet, 100 clients ResNet"
RAW = {"style": "idiom", "processes": 1, "device": "cuda"}
PLAYERS = [
    Contestant("raw loop, 1 process", "raw", RAW, tolerance=1e-2),
    Contestant("raw loop, tuned, 1 process", "raw", {**RAW, "style": "tuned"}, tolerance=1e-2),
    Contestant(
        "fedkd, Ray, 1 actor",
        "ours",
        {"overrides": ["runtime=ray", "runtime.num_actors=1", "runtime.num_gpus=1"]},
        tolerance=1e-2,
    ),
]


def run(settings: Settings) -> list[Report]:
    """Run the contests, or say that there is no GPU. Tolerance is that of convolutions whose order of sums is free."""
    if not torch.cuda.is_available():
        return [Report(TITLE, (), (), ["No GPU on this machine: nothing was run."])]
    mlp, images = settings.pick(1000, 8), settings.pick(100, 4)
    works = {
        f"GPU: {mlp:,} clients, MLP 64-64-10": ([*fedavg(1), *patches(mlp, 320)], mlp),
        f"GPU: {images} clients, LeNet": ([*fedavg(1), *fashion(images, 320), "model=lenet"], images),
        f"GPU: {images} clients, ResNet": ([*fedavg(1), *fashion(images, 320), "model=resnet"], images),
    }
    return [
        compared(title, Contest(work).run(PLAYERS, rounds=4, repeats=settings.repeats), cohort)
        for title, (work, cohort) in works.items()
    ]
