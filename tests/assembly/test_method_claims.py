"""What papers claim of their methods, at least its sign, on skewed digits."""

import functools
from collections.abc import Callable, Mapping

import pytest

import fedkd

Final = Callable[..., Mapping[str, float]]

SKEWED = (
    "data=digits",
    "partition.alpha=0.1",
    "clients=10",
    "rounds=4",
    "evaluate_every=4",
    "model.hidden=[64]",
    "runtime=inline",
)


@pytest.fixture(scope="module")
def final(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """Give the last metrics of a method; each method runs once with a seed."""

    @functools.cache
    def run(method: str, seed: int = 1) -> Mapping[str, float]:
        folder = tmp_path_factory.mktemp(method) / "run"
        return {
            name: value
            for name, value in fedkd.run(
                *SKEWED, f"method={method}", f"seed={seed}", output=folder
            ).final.items()
            if value is not None
        }

    return run


@pytest.mark.parametrize("method", ["fedntd", "fedgkd", "fedcad", "fedssd"])
def test_clients_that_the_global_network_teaches_know_more_of_what_they_do_not_have(
    method: str, final: Final
) -> None:
    taught, plain = final(method), final("fedavg")
    assert taught["clients_mean/test/accuracy"] > plain["clients_mean/test/accuracy"]
    # They pay for it with nothing that they have themselves.
    assert taught["clients_mean/own/accuracy"] > plain["clients_mean/own/accuracy"] - 0.03


@pytest.mark.parametrize(
    ("method", "plain"),
    [
        (
            "fedaux",
            "feddf",
        ),  # clients that count where they are sure make a better ensemble than clients that count alike
        ("fedftg", "fedavg"),  # an average that is taught on generated samples is better than the average
    ],
)
def test_a_student_that_learns_from_those_who_know_is_better(method: str, plain: str, final: Final) -> None:
    better, other = ([final(name, seed) for seed in (1, 2)] for name in (method, plain))
    gain = [
        one["student/test/accuracy"] - two["student/test/accuracy"]
        for one, two in zip(better, other, strict=True)
    ]
    saved = [
        two["student/test/loss"] - one["student/test/loss"] for one, two in zip(better, other, strict=True)
    ]
    assert sum(gain) / 2 > 0.02
    assert sum(saved) / 2 > 0.03
