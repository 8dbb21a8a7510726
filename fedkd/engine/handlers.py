"""What a client does with a Flower message: train and share, or evaluate. The same code under every runtime.

A train message holds `config` (round, keep), and what the method sends: `weights`, `arrays` + `about` (knowledge), or
`ask` (the ids of the proxy samples that the server wants to hear about). Weights under `arrays` without `about` are
taken as well, as Flower's own strategies send them. A reply holds `arrays` + `about`, and `metrics`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from torch import Tensor

from fedkd.clients import Situation, Stage
from fedkd.data.samples import Samples
from fedkd.engine.client import ClientSide, Trained
from fedkd.engine.evaluating import METRICS, NUM_EXAMPLES, PREDICTIONS, evaluation_reply
from fedkd.engine.sequential import run_stage
from fedkd.knowledge import ABOUT, ARRAYS, Package, from_records, to_records

CONFIG, WEIGHTS, ASK = "config", "weights", "ask"
_MODEL = "fedkd.model"


def train(side: ClientSide, client: int, content: RecordDict, state: RecordDict) -> RecordDict:
    """Run a client's round and return what it shares.

    Args:
        side: the client side of the run.
        client: number of the client's partition.
        content: the server's message.
        state: what this client keeps between rounds; changed in place.
    """
    options = content.config_records[CONFIG]
    current_round = _whole(options["server-round"])
    received = from_records(content) if ABOUT in content.config_records else None
    network = side.network(client)
    weights = _received_weights(content)
    first = _MODEL not in state.array_records
    if side.strategy.persistent and not first:
        network.load_state_dict(_decode(state.array_records[_MODEL]))
    elif weights is not None:
        network.load_state_dict(weights)
    start = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    situation = Situation(first, received, start)
    memory = {name: tensor.to(side.device) for name, tensor in side.strategy.remember(situation).items()}
    own = side.data.client_train(client)
    loss = float("nan")
    for stage in side.strategy.stages(situation):
        samples, teacher = _samples_of(stage, side, own, received)
        generator = side.streams.torch(stage.name, round=current_round, client=client)
        loss = run_stage(
            stage, network, samples, teacher=teacher, memory=memory, task=side.task, generator=generator
        )
    if side.strategy.persistent or options.get("keep", False):
        state[_MODEL] = ArrayRecord(network.state_dict())
    metrics = MetricRecord({NUM_EXAMPLES: len(own), "train-loss": loss})
    return RecordDict({**_shared(side, Trained(side, own, network), content), METRICS: metrics})


def evaluate(side: ClientSide, client: int, content: RecordDict, state: RecordDict) -> RecordDict:
    """Return a client's metrics on its own held-out samples, and its raw outputs and metrics on the splits asked for.

    A client without a network of its own (it was never trained, or keeps none) evaluates the weights in the message, or
    its initial ones.
    """
    network = side.network(client)
    weights = _received_weights(content)
    if _MODEL in state.array_records:
        network.load_state_dict(_decode(state.array_records[_MODEL]))
        if not side.strategy.persistent:
            del state[_MODEL]
    elif weights is not None:
        network.load_state_dict(weights)
    own = side.data.client_holdout(client)
    trained = Trained(side, own, network)
    splits = {"validation": side.data.validation, "test": side.data.test}
    asked = {name: splits[name] for name in _words(content.config_records[CONFIG].get("splits", []))}
    return evaluation_reply(
        side.task,
        {name: trained.outputs(samples) for name, samples in asked.items()},
        {name: samples.targets for name, samples in asked.items()},
        trained.outputs(own) if len(own) else torch.empty(0, 1),
        own.targets,
    )


def _received_weights(content: RecordDict) -> Mapping[str, Tensor] | None:
    if WEIGHTS in content.array_records:
        return _decode(content.array_records[WEIGHTS])
    if ARRAYS in content.array_records and ABOUT not in content.config_records:
        return _decode(content.array_records[ARRAYS])
    return None


def _decode(record: ArrayRecord) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array.numpy())) for name, array in record.items()}


def _samples_of(
    stage: Stage, side: ClientSide, own: Samples, received: Package | None
) -> tuple[Samples, Tensor | None]:
    if stage.source == "private":
        samples, teacher = own, None
    elif stage.source == "public":
        samples, teacher = side.proxy(), None
    else:
        assert received is not None
        samples, teacher = side.proxy(received.ids), received.scores().to(side.device)
    if side.device == "cpu":
        return samples, teacher
    inputs = {view: x.to(side.device) for view, x in samples.inputs.items()}
    return replace(samples, inputs=inputs, targets=samples.targets.to(side.device)), teacher


def _shared(side: ClientSide, trained: Trained, content: RecordDict) -> dict[str, Any]:
    if side.kind is None:
        return {}
    ids = None
    if side.kind.needs_proxy:
        asked = content.array_records.get(ASK)
        ids = side.proxy().ids if asked is None else torch.from_numpy(np.array(asked["ids"].numpy()))
    return to_records(side.kind.extract(trained, ids), side.codec)


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []


__all__ = [
    "ASK",
    "CONFIG",
    "METRICS",
    "NUM_EXAMPLES",
    "PREDICTIONS",
    "WEIGHTS",
    "ConfigRecord",
    "evaluate",
    "train",
]
