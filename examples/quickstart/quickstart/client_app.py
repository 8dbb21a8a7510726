"""The client: learns from the consensus, trains on its own data, and says what it thinks of the public samples."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import ABOUT, Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from quickstart.task import Net, accuracy, private_data, public_data, train

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Say which partition this node holds: Flower draws node ids at random, and runs should repeat."""
    told = ConfigRecord({"partition-id": int(context.node_config["partition-id"])})
    return Message(RecordDict({"config": told}), reply_to=message)


@app.train()
def learn(message: Message, context: Context) -> Message:
    """Take one round's part."""
    client, options = int(context.node_config["partition-id"]), context.run_config
    generator = Streams(0).torch("train", round=int(message.content["config"]["server-round"]), client=client)
    epochs, lr = int(options["local-epochs"]), float(options["lr"])
    own, _ = _data(context)
    public = public_data()
    network = _network(context)
    if ABOUT in message.content:
        consensus = from_records(message.content)
        images = public.take(_rows(public, consensus)).inputs["image"]
        train(network, images, consensus.scores().softmax(dim=1), epochs=epochs, lr=lr, generator=generator)
    loss = train(network, own.inputs["image"], own.targets, epochs=epochs, lr=lr, generator=generator)
    context.state["network"] = ArrayRecord(network.state_dict())
    with torch.no_grad():
        says = Package(
            "probabilities", {"values": network(public.inputs["image"]).softmax(dim=1)}, ids=public.ids
        )
    metrics = MetricRecord({"loss": loss, "num-examples": len(own)})
    return Message(RecordDict({**to_records(says, Float32()), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the accuracy of the client's own network on its own held-out samples."""
    _, held_out = _data(context)
    metrics = MetricRecord({"accuracy": accuracy(_network(context), held_out), "num-examples": len(held_out)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _data(context: Context) -> tuple[Samples, Samples]:
    return private_data(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))


def _network(context: Context) -> Net:
    with Streams(0).initialising("client", client=int(context.node_config["partition-id"])):
        network = Net()
    if "network" in context.state:
        network.load_state_dict(context.state["network"].to_torch_state_dict())
    return network


def _rows(public: Samples, consensus: Package) -> list[int]:
    row_of = {sample: row for row, sample in enumerate(public.ids.tolist())}
    return [row_of[sample] for sample in consensus.ids.tolist()]
