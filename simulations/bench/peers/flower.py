"""Flower's own engine: `flwr run` with simulated nodes, on an app as its quickstart has it (`apps/quickstart.py`)."""

import json
from pathlib import Path

import torch

from fedkd.runtime.flower import AppRef, run_with_flower
from simulations.bench.job import Contestant, Job, Played

ROOM = Path(__file__).parents[3]
APP = AppRef(
    server="quickstart:server_app", client="quickstart:client_app", code=Path(__file__).parents[1] / "apps"
)
CONTESTANTS = [
    Contestant("Flower's engine, 2 actors", "flower", {"actors": 2}, processes=2, slow=True),
]


def play(job: Job) -> Played:
    """Submit the app; its server app leaves weights and seconds in the job's folder."""
    run_with_flower(
        {"room": str(ROOM), "material": str(job.material.folder), "rounds": job.rounds},
        job.folder,
        num_clients=len(job.material.x),
        num_actors=job.options["actors"],
        app=APP,
    )
    seconds = json.loads((job.folder / "flower.json").read_text(encoding="utf-8"))
    return Played(torch.load(job.folder / "weights.pt"), seconds)
