"""What the clients of a cohort have: networks as stacks of weights, and samples in arrays that they share.

>>> networks.taken(torch.tensor([2, 0])).trained["head.weight"].shape
torch.Size([2, 10, 64])
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import vmap


@dataclass(frozen=True, eq=False)
class Source:
    """Where a cohort's batches are gathered from: arrays that all its clients share.

    Args:
        inputs: view -> [rows, ...].
        targets: [rows, ...].
        positions: for each client, the rows of its samples.
        teacher: what was said about samples, one after the other; none on private data.
        said: for each client, where in `teacher` its first sample stands.
        public: view -> [public rows, ...], where samples come with public ones.
        pairs: for each client, the public row beside each of its samples.
    """

    inputs: Mapping[str, Shaped[Tensor, "rows ..."]]
    targets: Shaped[Tensor, "rows ..."]
    positions: Sequence[Int[Tensor, " _"]]
    teacher: Float[Tensor, "said ... outputs"] | None = None
    said: Sequence[int] = ()
    public: Mapping[str, Shaped[Tensor, "_ ..."]] = field(default_factory=dict)
    pairs: Sequence[Int[Tensor, " _"]] = ()


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a cohort.

    Args:
        template: the architecture; its own weights are not used.
        trained: name -> [clients, ...] of the parameters that learn; changed in place.
        frozen: name -> [clients, ...] of the other parameters; changed in place by `follow` alone.
        buffers: name -> [clients, ...]; never changed.
    """

    template: nn.Module
    trained: Mapping[str, Tensor]
    frozen: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]

    def taken(self, clients: Int[Tensor, " n"]) -> "Networks":
        """Return the networks of these clients, in this order, in memory of their own."""
        stacks = (
            {name: stack[clients] for name, stack in group.items()}
            for group in (self.trained, self.frozen, self.buffers)
        )
        return Networks(self.template, *stacks)

    def put(self, clients: Int[Tensor, " n"], networks: "Networks") -> None:
        """Take over the parameters of these clients from as many networks, the first ones."""
        for mine, theirs in ((self.trained, networks.trained), (self.frozen, networks.frozen)):
            for name, stack in mine.items():
                stack[clients] = theirs[name][: len(clients)]

    def follow(self, rule: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]], active: int) -> None:
        """Give frozen parameters of the first `active` networks the values that a rule for one network names, given all its parameters."""
        if not self.frozen:
            return
        parameters = {name: stack[:active] for name, stack in {**self.trained, **self.frozen}.items()}
        for name, values in vmap(rule)(parameters).items():
            self.frozen[name][:active] = values
