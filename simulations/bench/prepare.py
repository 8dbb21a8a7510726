"""Makes the material of a workload from a config of fedkd: its data, its named streams, its initial weights.

>>> prepare(["method=fedavg", "data=digits", "clients=4"], rounds=2, folder=Path("/tmp/material"))
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedkd.assembly.build import client_side, load
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.data.federated import FederatedData
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.training import Fit
from simulations.bench.material import Material


def prepare(overrides: Sequence[str], *, rounds: int, folder: Path) -> Material:
    """Write the material of so many rounds; clients must have equally many samples, and batches divide them."""
    experiment = Experiment.from_config(compose([*overrides, "runtime=inline"]))
    data, streams = load(experiment), Streams(experiment.settings.seed)
    fit, clients = experiment.method.client.fit, experiment.settings.clients
    size = len(data.assignments[0])
    assert {len(own) for own in data.assignments} == {size}, "clients must have equally many samples"
    assert size % fit.batch_size == 0, "batches must divide a client's samples"
    cohort = experiment.settings.clients_per_round or clients
    participants = np.stack(
        [
            np.sort(streams.numpy("sample-clients", round=turn).choice(clients, size=cohort, replace=False))
            for turn in range(1, rounds + 1)
        ]
    )
    view = next(iter(data.info.views))
    owned = np.stack(data.assignments)
    arrays: dict[str, Any] = {
        "x": data.train.inputs[view].numpy()[owned],
        "y": data.train.targets.numpy()[owned],
        "participants": participants,
        "orders": _orders(streams, "train", fit, size, participants),
        "initial": _flat(initial_network(experiment.model, data, streams, owner="server")),
    }
    if experiment.method.strategy.needs_proxy:
        arrays |= _public(experiment, data, streams, participants)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    fusion = experiment.resolved["method"]["fusion"] or {}
    plan = {
        "overrides": list(overrides),
        "network": _network(experiment, data),
        "batch_size": fit.batch_size,
        "lr": fit.optimizer.lr,
        "temperature": fusion.get("temperature"),
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return Material.open(folder)


def _network(experiment: Experiment, data: FederatedData) -> dict[str, Any]:
    options = {name: value for name, value in experiment.resolved["model"].items() if name != "view"}
    if isinstance(options.get("hidden"), int):
        options["hidden"] = (options["hidden"],)
    return {
        **options,
        "shape": next(iter(data.info.views.values())),
        "outputs": data.info.num_outputs,
    }


def _public(
    experiment: Experiment, data: FederatedData, streams: Streams, participants: np.ndarray
) -> dict[str, Any]:
    """Return what a co-distillation needs beyond: proxy samples, each client's own start, orders of digest and distillation."""
    assert data.proxy is not None
    side = client_side(experiment, data)
    proxy = next(iter(data.proxy.inputs.values()))
    distiller = experiment.method.distiller
    assert distiller is not None
    digest: Fit = experiment.method.client.digest  # type: ignore[attr-defined]
    rounds = np.arange(1, len(participants) + 1)
    return {
        "proxy": proxy.numpy(),
        "owns": np.stack([_flat(side.network(client)) for client in range(len(data.assignments))]),
        "digests": _orders(streams, "digest", digest, len(proxy), participants),
        "distils": np.stack(
            [_order(streams.torch("distil", round=int(turn)), distiller.fit, len(proxy)) for turn in rounds]
        ),
    }


def _orders(streams: Streams, purpose: str, fit: Fit, size: int, participants: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            np.stack([_order(streams.torch(purpose, round=turn, client=int(k)), fit, size) for k in row])
            for turn, row in enumerate(participants, start=1)
        ]
    )


def _order(generator: torch.Generator, fit: Fit, size: int) -> np.ndarray:
    """Return the positions of every pass as `fedkd.training.fit` draws them."""
    return np.stack(
        [torch.randperm(size, generator=generator).numpy().astype(np.int32) for _ in range(fit.epochs)]
    )


def _flat(network: nn.Module) -> np.ndarray:
    weights: Tensor = nn.utils.parameters_to_vector(network.parameters())
    return weights.detach().numpy()
