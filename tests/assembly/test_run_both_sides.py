"""Methods that distil on both sides: what crosses, and the sign of what their papers claim, on few digits."""

from collections.abc import Callable
from pathlib import Path

import pytest

import fedkd

P, C, K = 200, 10, 4
COMMON = (
    "data=digits",
    "data.samples=900",
    f"proxy.size={P}",
    "partition=dirichlet",
    "partition.alpha=1.0",
    "runtime=inline",
    "clients=4",
    "rounds=5",
    "evaluate_every=5",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., fedkd.Result]:
    """Return a run of a method; equal ones run once."""
    found: dict[tuple[str, ...], fedkd.Result] = {}

    def run(*overrides: str) -> fedkd.Result:
        if overrides not in found:
            folder = tmp_path_factory.mktemp("both") / "run"
            found[overrides] = fedkd.run(*COMMON, *overrides, output=folder)
        return found[overrides]

    return run


def payloads(folder: Path, direction: str) -> list[int]:
    rows = fedkd.load_ledger(folder)
    rows = rows[(rows["phase"] == "train") & (rows["direction"] == direction)]
    return [int(size) for size in rows.groupby("round")["payload"].sum()]


def accuracy(result: fedkd.Result, scope: str = "student") -> float:
    return float(result.final[f"{scope}/test/accuracy"])


SMALL, MIXED = ("model=mlp", "model.hidden=[32]"), ("model=mixed", "model.shares={mlp: 1, logistic: 1}")


def test_cfd_sends_a_hundredth_of_the_bytes_of_soft_labels_for_nearly_the_same_student(
    ran: Callable[..., fedkd.Result],
) -> None:
    """Sattler et al.'s claim is two orders of magnitude less at fixed performance."""
    cfd, plain = (ran("method=cfd", *SMALL, *codec) for codec in ((), ("method.codec=float32",)))
    up, full = payloads(cfd.folder, "up"), K * P * C * 4
    assert payloads(plain.folder, "up") == [full] * 5
    assert all(size <= K * (1 + P // 8 + P // 2) for size in up)
    assert sum(up) < 5 * full / 100
    assert up[-1] < up[0]  # votes converge
    assert payloads(cfd.folder, "down") == [0, *[full] * 4]
    assert accuracy(cfd) > accuracy(plain) - 0.1


def test_mhat_clients_of_several_architectures_gain_over_training_alone(
    ran: Callable[..., fedkd.Result],
) -> None:
    mhat, alone = (ran(f"method={method}", *MIXED) for method in ("mhat", "local"))
    assert accuracy(mhat, "clients_mean") > accuracy(alone, "clients_mean") + 0.05
    assert payloads(mhat.folder, "up") == [K * P * C * 4] * 5
    assert payloads(mhat.folder, "down") == [0, *[K * P * C * 4] * 4]


def test_fedgems_makes_server_and_clients_better_than_fedmd_does_and_asks_about_few_samples(
    ran: Callable[..., fedkd.Result],
) -> None:
    larger = (*SMALL, "student=mlp", "student.hidden=[128]")
    fedgems, fedmd = (ran(f"method={method}", *larger) for method in ("fedgems", "fedmd"))
    alone = ran("method=local", *SMALL)
    assert accuracy(fedgems) > accuracy(fedmd) + 0.05
    assert accuracy(fedgems, "clients_mean") > accuracy(alone, "clients_mean") + 0.05
    up = payloads(fedgems.folder, "up")
    assert all(size % (K * C * 4) == 0 for size in up)
    assert up == sorted(up, reverse=True)
    assert up[0] > 10 * up[-1]
    assert payloads(fedgems.folder, "down") == [0, *[K * P * C * 4] * 4]


@pytest.mark.parametrize(
    ("method", "networks"),
    [
        ("cfd", MIXED),
        ("mhat", MIXED),
        ("fedgems", MIXED),
        ("cronus", MIXED),
        ("fedaux", MIXED),
        ("fedftg", SMALL),
    ],
)
def test_both_engines_and_mixed_architectures_arrive_at_the_same(
    method: str, networks: tuple[str, ...], ran: Callable[..., fedkd.Result]
) -> None:
    short = ("rounds=2", "evaluate_every=2", "data.samples=400", "proxy.size=60")
    ends = [
        accuracy(ran(f"method={method}", *networks, *short, f"engine={engine}"))
        for engine in ("sequential", "vectorised")
    ]
    assert ends[0] == pytest.approx(ends[1], abs=0.02)
