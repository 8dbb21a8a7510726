"""Run folders with the shape of real ones: curves that saturate, a client's own data easier than the common test data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedkd.foundation.run_folder import LedgerRow, MetricRow, RunFolder, metric

MakeRun = Callable[..., RunFolder]

_LEVELS = {
    "student": 0.80,
    "ensemble_uniform": 0.82,
    "ensemble_weighted": 0.84,
    "ensemble_oracle": 0.93,
    "clients_mean": 0.62,
    "clients_worst": 0.41,
}
_BASELINES = {"local_only": 0.60, "proxy_labels": 0.72, "pseudo_labels": 0.79, "fedavg": 0.83, "pooled": 0.92}


def _scores(seed: int, rounds: int, clients: int, level: float, name: str) -> list[MetricRow]:
    noise = np.random.Generator(np.random.PCG64(seed))
    skill = noise.normal(0, 0.08, clients)
    rows = []
    for number in range(rounds + 1):
        growth = 1 - 0.9 * np.exp(-number / 2.5)
        for scope, top in _LEVELS.items():
            for split in ("validation", "test"):
                value = growth * (top + level) + noise.normal(0, 0.006)
                rows.append(metric(round=number, scope=scope, split=split, metric=name, value=value))
                rows.append(
                    metric(round=number, scope=scope, split=split, metric="loss", value=2.3 - 2 * value)
                )
        for client in range(clients):
            common = growth * (_LEVELS["clients_mean"] + level + skill[client])
            own = min(1.0, common + 0.25)
            rows.append(
                metric(round=number, scope="client", client=client, split="test", metric=name, value=common)
            )
            rows.append(
                metric(round=number, scope="client", client=client, split="own", metric=name, value=own)
            )
    for scope, top in _BASELINES.items():
        rows.append(metric(round=rounds, scope=scope, split="test", metric=name, value=top + level))
    return rows


def _messages(rounds: int, clients: int, size: int) -> list[LedgerRow]:
    rows: list[LedgerRow] = [
        {
            "round": 0,
            "phase": "once",
            "client": client,
            "direction": "down",
            "bytes": 25_600,
            "payload": 25_600,
        }
        for client in range(clients)
    ]
    for number in range(1, rounds + 1):
        for client in range(clients):
            rows.append(
                {
                    "round": number,
                    "phase": "train",
                    "client": client,
                    "direction": "down",
                    "bytes": size,
                    "payload": size - 300,
                }
            )
            rows.append(
                {
                    "round": number,
                    "phase": "train",
                    "client": client,
                    "direction": "up",
                    "bytes": size,
                    "payload": size - 300,
                }
            )
            rows.append(
                {
                    "round": number,
                    "phase": "evaluate",
                    "client": client,
                    "direction": "down",
                    "bytes": 10**9,
                    "payload": 10**9,
                }
            )
    return rows


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(
        name: str = "run",
        *,
        method: str = "dsfl",
        seed: int = 0,
        alpha: float = 0.1,
        rounds: int = 10,
        clients: int = 12,
        level: float = 0.0,
        measured: str = "accuracy",
        size: int = 16_300,
    ) -> RunFolder:
        config = {
            "method": {"name": method, "fusion": {"name": "era", "temperature": 0.1}},
            "data": {"name": "digits"},
            "partition": {"name": "dirichlet", "alpha": alpha},
            "model": {"name": "mixed", "shares": [0.5, 0.5]},
            "seed": seed,
            "clients": clients,
            "rounds": rounds,
            "output": str(tmp_path / name),
        }
        folder = RunFolder.create(tmp_path / name, config, {"python": "3.11"})
        folder.append_metrics(_scores(seed, rounds, clients, level, measured))
        folder.append_ledger(_messages(rounds, clients, size))
        counts = np.random.Generator(np.random.PCG64(seed)).dirichlet([alpha] * clients, size=10).T * 125
        folder.write_json("partition.json", {"counts": counts.astype(int)})
        return folder

    return make
