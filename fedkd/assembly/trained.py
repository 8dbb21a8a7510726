"""Networks that were trained before: the student of a run folder, or a file of safetensors, as weights by name.

>>> weights_in("runs/pooled/2026-01-01T00-00-00-0a1b2c3d")["head.bias"].shape
torch.Size([10])
"""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.run_folder import RunFolder
from fedkd.runtime.flower_internals import deserialise


def weights_in(place: str, *, key: str) -> Mapping[str, Tensor]:
    """Return the weights that a run ended with, or those of a file.

    Args:
        place: a run folder, or a file of safetensors.
        key: of the option that names it, for messages.

    Raises:
        InvalidOption: there is neither, or it holds no weights.
        RunFolderError: a run folder that cannot be read.
    """
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
        said = " ".join(str(error).split())
        raise InvalidOption(key, place, f"a run folder, or a file of safetensors ({said})") from error
