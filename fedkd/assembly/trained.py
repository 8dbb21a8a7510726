"""Networks that were trained before, as weights by name: published ones, the student of a run folder, or a file of safetensors.

>>> weights_in("ccexam/mnist", key="method.strategy.checkpoints")["classifier.2.bias"].shape
torch.Size([10])
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from fedkd.data.pretrained import published_names, published_weights
from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.run_folder import RunFolder
from fedkd.runtime.flower_internals import deserialise


def weights_in(place: str, *, key: str) -> Mapping[str, Tensor]:
    """Return published weights, those that a run ended with, or those of a file.

    Args:
        place: a name of published weights, a run folder, or a file of safetensors.
        key: of the option that names it, for messages.

    Raises:
        InvalidOption: there is none of them, or it holds no weights.
        RunFolderError: a run folder that cannot be read.
        DataUnavailable: published weights that no source delivers.
    """
    if place in published_names():
        return published_weights(place)
    path = Path(place)
    if path.is_dir():
        checkpoint = RunFolder.open(path).load_checkpoint()
        arrays = (
            None if checkpoint is None else deserialise(checkpoint.blobs["arrays"]).array_records["arrays"]
        )
        if not arrays:
            raise InvalidOption(key, place, "the folder of a run whose server has a network")
        return arrays.to_torch_state_dict()
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        said, names = " ".join(str(error).split()), published_names()
        allowed = f"a run folder, a file of safetensors ({said}), or one of {', '.join(names)}"
        raise InvalidOption(key, place, allowed, nearest("/".join(path.parts[-2:]), names)) from error


def weights_for(
    networks: Iterable[nn.Module], places: Sequence[str], *, key: str
) -> list[Mapping[str, Tensor]]:
    """Return the weights of each place, which fit the networks of the clients that will begin with them.

    Args:
        networks: one with the layout of each client's, looked at where there are places, which are dealt to clients in turn.
        places: as in `weights_in`.
        key: of the option that names them, for messages.

    Raises:
        InvalidOption: weights that are not of the network of a client; and as `weights_in`.
    """
    found = [weights_in(place, key=key) for place in places]
    for client, network in enumerate(networks if found else ()):
        turn = client % len(found)
        own, given = (
            {name: list(weight.shape) for name, weight in state.items()}
            for state in (network.state_dict(), found[turn])
        )
        if own != given:
            odd = min(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise InvalidOption(
                key,
                places[turn],
                f"weights of the network of client {client}, as they are dealt to clients in turn; this network has {_said(own, odd)}, they have "
                f"{_said(given, odd)}. Give them in the order of the clients' architectures",
            )
    return found


def _said(shapes: Mapping[str, list[int]], name: str) -> str:
    return f"{name} {shapes[name]}" if name in shapes else f"no {name}"
