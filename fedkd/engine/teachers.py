"""What is said to a client about its own samples: by a network that its strategy names as its teacher, or by the server itself.

A teacher does not move while the client trains, and samples are seen as they are each time: so it is asked once a stage, about all of
them, and its answers are dealt out with the batches, as those that came are.
"""

import copy
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from fedkd.engine.beginning import Begun
from fedkd.engine.client import ClientSide
from fedkd.models.base import predict


def taught(side: ClientSide, group: Sequence[Begun]) -> list[Float[Tensor, "_ ... outputs"]] | None:
    """Return what is said to each client about each of its samples, in their order; none if nothing is.

    Args:
        side: the client side of the run.
        group: clients of one architecture, which are all told, or all have a teacher, or neither.
    """
    if group[0].told is not None:
        return [one.told.to(side.device) for one in group if one.told is not None]
    if group[0].teacher is None:
        return None
    network = copy.deepcopy(side.template(side.models[group[0].client]))
    said, taken_up = [], None
    for one in group:
        assert one.teacher is not None
        weights = [id(weight) for weight in one.teacher.values()]
        if weights != taken_up:  # most often it is one network, the broadcast, that teaches everyone
            network.load_state_dict(one.teacher)
            taken_up = weights
        said.append(predict(network, side.resident(side.data.client_train(one.client)).inputs))
    return said
