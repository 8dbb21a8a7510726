"""What papers claim of their methods, at least its sign, on skewed digits: a client that is taught by the global network forgets less."""

import functools
from collections.abc import Callable, Mapping

import pytest

import fedkd

Final = Callable[[str], Mapping[str, float]]

SKEWED = (
    "data=digits",
    "partition.alpha=0.1",
    "clients=10",
    "rounds=4",
    "evaluate_every=4",
    "model.hidden=[64]",
    "runtime=inline",
    "seed=1",
)


@pytest.fixture(scope="module")
def final(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """Give the last metrics of a method; each method runs once."""

    @functools.cache
    def run(method: str) -> Mapping[str, float]:
        folder = tmp_path_factory.mktemp(method) / "run"
        return {
            name: value
            for name, value in fedkd.run(*SKEWED, f"method={method}", output=folder).final.items()
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
