"""How much of the room is run, and what every workload of training begins with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a workload is run.

    Args:
        repeats: how often each contestant is timed.
        only: words; a contestant takes part if one of them is in its name. Empty lets all take part.
        quick: everything small: whether it works, not how fast it is.
    """

    repeats: int = 3
    quick: bool = False
    only: tuple[str, ...] = ()

    def pick(self, full: int, small: int) -> int:
        """Return the size that is meant."""
        return small if self.quick else full


def plan(epochs: int, lr: float = 0.05, batch_size: int = 32) -> str:
    """Return a training plan as an override's value: plain SGD, as in McMahan et al. (2017)."""
    rule = f"{{name:sgd,lr:{lr},momentum:0.0,nesterov:false,weight_decay:0.0,clip_norm:null}}"
    return f"{{epochs:{epochs},batch_size:{batch_size},max_steps:null,optimizer:{rule},schedule:constant}}"


def patches(clients: int, samples: int) -> list[str]:
    """Return the overrides of synthetic images of 8 x 8 for so many clients with so many samples."""
    return [
        "data=simulations.bench.data:Patches",
        f"data.samples={clients * samples}",
        f"clients={clients}",
        "partition=iid",
        "partition.holdout=0",
        "model=mlp",
        "model.hidden=[64]",
    ]


def fashion(clients: int, samples: int) -> list[str]:
    """Return the overrides of Fashion-MNIST for so many clients with so many samples."""
    return [
        "data=fashion_mnist",
        "data.validation=0.001",
        "data.test_samples=64",
        f"data.samples={clients * samples}",
        f"clients={clients}",
        "partition=iid",
        "partition.holdout=0",
    ]


def fedavg(epochs: int) -> list[str]:
    """Return the overrides of FedAvg."""
    return ["method=fedavg", "proxy=none", f"method.client.fit={plan(epochs)}"]


def lent(clients: int, per_round: int, rounds: int) -> list[str]:
    """Return the overrides of a run on Ray whose data does not grow with its clients: they are lent samples of one small pool."""
    return [
        "data=digits",
        "partition=iid",
        "partition.holdout=0",
        "partition.empty=replace",
        "partition.minimum=32",
        "model=mlp",
        "model.hidden=[64]",
        f"clients={clients}",
        f"clients_per_round={per_round}",
        f"rounds={rounds}",
        f"evaluate_every={rounds}",
        "runtime=ray",
        "runtime.num_actors=2",
    ]
