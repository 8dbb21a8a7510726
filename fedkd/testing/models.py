"""What must hold of every model, for each architecture it stands for and each shape of input it takes."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams
from fedkd.models import MODELS
from fedkd.models.base import Model, Signature, count_parameters, run_network
from fedkd.testing.contract import Contract, generators_left_alone, require

OUTPUTS, SAMPLES = 7, 5

GROUNDS = (
    *(Signature({"input": shape}, OUTPUTS) for shape in ((1, 8, 8), (3, 32, 32), (10,))),
    Signature({"input": (12,)}, OUTPUTS, {"input": OUTPUTS}),
    Signature(
        {"history": (3,), "user": (), "seen": (1,)},
        OUTPUTS,
        {"history": OUTPUTS + 1, "user": 5, "seen": 2**OUTPUTS},
    ),
)
"""A small image, a colour image, a row of a table, a sequence of symbols, what users took."""


def logits_and_features_have_their_shapes(model: Model) -> None:
    """A batch gives logits [batch, outputs] and features [batch, width], a batch of one too; all of them finite.

    Networks that read sequences of symbols score the next one at each place: [batch, places, symbols].
    """
    for network, x in _networks(model):
        for size in (SAMPLES, 1):
            network.train()
            some = {view: inputs[:size] for view, inputs in x.items()}
            logits, features = run_network(network, some)[:2]
            shape, shapes = tuple(logits.shape), [tuple(inputs.shape) for inputs in some.values()]
            symbols = "input" in some and not some["input"].is_floating_point()
            places = some["input"].shape[1:] if symbols else ()
            require(shape == (size, *places, OUTPUTS), f"inputs {shapes} give logits {shape}")
            require(
                features.ndim == 2 and len(features) == size,
                f"features have the shape {tuple(features.shape)}",
            )
            require(logits.isfinite().all() and features.isfinite().all(), "an output is not finite")


def the_gradient_reaches_every_parameter(model: Model) -> None:
    """Every weight that learns has a part in what the network says, at any of its exits, and there is at least one."""
    for network, x in _networks(model):
        require(count_parameters(network) > 0, "there is nothing to learn")
        learned = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        names, weights = zip(*learned, strict=True)
        said = run_network(network, x)
        loss = (said.logits if said.exits is None else said.exits).square().mean()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        missed = [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]
        require(not missed, f"the gradient does not reach {', '.join(missed)}")


def samples_do_not_see_each_other(model: Model) -> None:
    """In evaluation, what is said about a sample does not depend on the batch that it is in."""
    for network, x in _networks(model):
        network.eval()
        together = run_network(network, x).logits
        ones = [{view: inputs[at : at + 1] for view, inputs in x.items()} for at in range(SAMPLES)]
        alone = torch.cat([run_network(network, one).logits for one in ones])
        require(
            torch.allclose(together, alone, rtol=1e-3, atol=1e-4),
            "a sample's logits depend on its neighbours",
        )


def weights_move_to_another_network(model: Model) -> None:
    """A network of the same model that takes over the weights says the same."""
    for (network, x), (other, _) in zip(_networks(model), _networks(model, seed=1), strict=True):
        other.load_state_dict(network.state_dict())
        said = [run_network(one.eval(), x).logits for one in (network, other)]
        require(
            torch.equal(*said),
            "with the same weights, two networks differ: something is not in the state dict",
        )


def the_stream_decides_the_initial_weights(model: Model) -> None:
    """Equal streams give equal weights, other streams others; running draws from no global generator."""
    triples = zip(_networks(model), _networks(model), _networks(model, seed=1), strict=True)
    for (first, x), (second, _), (other, _) in triples:
        weights = [
            torch.cat([weight.flatten() for weight in one.parameters()]) for one in (first, second, other)
        ]
        require(torch.equal(weights[0], weights[1]), "equal streams give different weights")
        require(not torch.equal(weights[0], weights[2]), "another stream gives the same weights")
        with generators_left_alone():
            run_network(first.eval(), x)


def every_client_gets_an_architecture(model: Model) -> None:
    """Each of any number of clients gets one of the architectures that the model names."""
    known = list(model.architectures().values())
    for clients in (1, 5, 100):
        given = model.per_client(clients)
        require(len(given) == clients, f"{clients} clients get {len(given)} models")
        require(all(one in known for one in given), "a client gets an architecture that is not named")


CONTRACT = Contract(
    MODELS,
    Model,
    (
        logits_and_features_have_their_shapes,
        the_gradient_reaches_every_parameter,
        samples_do_not_see_each_other,
        weights_move_to_another_network,
        the_stream_decides_the_initial_weights,
        every_client_gets_an_architecture,
    ),
)


def _networks(model: Model, *, seed: int = 0) -> Iterator[tuple[nn.Module, dict[str, Tensor]]]:
    """Yield a network and a batch for each architecture and each kind of input that it does not refuse."""
    for name, architecture in model.architectures().items():
        taken = 0
        for ground in GROUNDS:
            try:
                with generators_left_alone(), Streams(seed).initialising("testing"):
                    network = architecture.build(ground)
            except IllegalCombination:
                continue
            if len(ground.views) > 1 and not hasattr(network, "views"):
                continue  # it reads one view, and would take symbols for numbers
            taken += 1
            yield network, _batch(ground)
        require(
            taken, f"{name} takes none of the data of users and items, nor inputs of the shapes {_words()}"
        )


def _batch(ground: Signature) -> dict[str, Tensor]:
    """Return some samples; users have taken a few items."""
    generator = Streams(0).torch("batch")
    return {
        view: torch.randint(min(ground.symbols[view], OUTPUTS), (SAMPLES, *shape), generator=generator)
        if view in ground.symbols
        else torch.rand(SAMPLES, *shape, generator=generator)
        for view, shape in ground.views.items()
    }


def _words() -> str:
    return ", ".join(str(ground.views["input"]) for ground in GROUNDS if "input" in ground.views)
