"""Every bad input is one line that names the key, and a non-zero exit code, and leaves nothing behind."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

OPTIONS = {
    "an unknown key": ("roundz=3", "roundz", "'rounds'"),
    "an unknown group": ("parition.alpha=0.1", "parition", "'partition'"),
    "an option of no group": ("alpha=0.1", "alpha"),
    "an unknown option of a part": ("partition.alpah=0.1", "partition.alpah", "'alpha'"),
    "a nested option of a part that has none": ("method=fedavg method.client.mu=1", "method.client.mu"),
    "an option of another recipe": ("runtime=inline runtime.num_actors=2", "runtime.num_actors"),
    "an option of a student that is the clients' model": (
        "student=same student.hidden=[3]",
        "student.hidden",
    ),
    "a key of Hydra's own": ("hydra.run.dir=x", "hydra"),
    "a method that is nearly there": ("method=fedadf", "method:", "'feddf'"),
    "no method": ("method=null", "method:"),
    "a data set that is nearly there": ("data=fashon_mnist", "data:", "'fashion_mnist'"),
    "a runtime that is nearly there": ("runtime=rai", "runtime:", "'ray'"),
    "a fusion that is nearly there": ("method.fusion=eera", "method.fusion", "'era'"),
    "an optimiser that is nearly there": (
        "method.client.fit.optimizer.name=adamx",
        "optimizer.name",
        "'adam",
    ),
    "a plug-in that cannot be imported": ("method.fusion=nomodule:Class", "method.fusion", "nomodule"),
    "a plug-in of another family": ("method.fusion=fedkd.models.mlp:MLP", "method.fusion", "Fusion"),
    "a recipe that was renamed": ("method.name=mine", "method.name"),
    "a word for a number": ("rounds=abc", "rounds: got 'abc'"),
    "a broken number for a whole one": ("rounds=1.5", "rounds: got 1.5"),
    "a truth value for a number": ("rounds=true", "rounds: got True"),
    "nothing for a number": ("rounds=", "rounds: got ''"),
    "a mapping for a number": ("rounds.x=3", "rounds:"),
    "a number for a list": ("model.hidden=64", "model.hidden: got 64"),
    "a list for a path": ("output=[a]", "output:"),
    "a number for a part": ("method.distiller=3", "method.distiller: got 3"),
    "a mapping for baselines": ("baselines={a:1}", "baselines:"),
    "a negative seed": ("seed=-1", "seed: got -1"),
    "no rounds": ("rounds=0", "rounds: got 0"),
    "a word that is no number of threads": ("threads=autoo", "threads: got 'autoo'", "'auto'"),
    "no clients": ("clients=0", "clients: got 0"),
    "a negative alpha": ("partition.alpha=-1", "partition.alpha: got -1"),
    "an alpha that is no number": ("partition.alpha=nan", "partition.alpha: got nan"),
    "an infinite alpha": ("partition.alpha=inf", "partition.alpha: got inf"),
    "negative epochs": ("method.distiller.fit.epochs=-1", "method.distiller.fit.epochs: got -1"),
    "a temperature of zero": ("method.distiller.temperature=0", "method.distiller.temperature: got 0"),
    "a learning rate of zero": ("method.client.fit.optimizer.lr=0", "optimizer.lr: got 0"),
    "a holdout of everything": ("partition.holdout=1", "partition.holdout: got 1"),
    "a negative share of a GPU": ("runtime.num_gpus=-1", "runtime.num_gpus: got -1"),
    "a negative time limit": ("client_timeout=-1", "client_timeout: got -1"),
    "a time limit that nobody keeps": (
        "runtime=inline client_timeout=5",
        "client_timeout=5",
        "runtime=inline",
    ),
    "a data split that leaves nothing": ("data.validation=0.95", "data.validation"),
    "more classes a client than there are": (
        "partition=classes partition.classes_per_client=11",
        "classes_per_client: got 11",
    ),
    "more clients than samples": ("clients=5000", "clients: got 5000"),
    "more clients a round than there are": ("clients=3 clients_per_round=5", "clients_per_round: got 5"),
    "more usable answers than clients": ("clients=3 min_clients=5", "min_clients: got 5"),
    "more samples than the data set has": ("data.samples=100000", "data.samples: got 100000"),
    "an empty proxy set": ("proxy.size=0", "proxy.size: got 0"),
    "a proxy set of the whole pool": ("proxy.size=1200", "proxy.size: got 1200"),
    "no proxy set for a method that needs one": ("method=feddf proxy=none", "proxy=none"),
    "no proxy set for clients who need one": (
        "method=fedavg method.client=adversarial proxy=none",
        "proxy=none",
    ),
    "a proxy set of another shape": ("method=feddf data=diabetes proxy=dataset", "proxy.dataset"),
    "a proxy set out of the clients' own data": (
        "proxy=dataset proxy.dataset=digits",
        "proxy.dataset=digits",
    ),
    "a proxy set out of a data set that is nearly there": (
        "proxy=dataset proxy.dataset=mnist_1k",
        "proxy.dataset",
        "'mnist_10k'",
    ),
    "more proxy samples a round than there are": (
        "method.strategy.samples_per_round=1000",
        "method.strategy.samples_per_round",
    ),
    "labels of an unlabelled proxy set": ("method=fedmd proxy.labelled=false", "proxy.labelled"),
    "labels of noise": ("method=fedmd proxy=noise", "labels of the proxy set"),
    "mixed architectures in FedAvg": ("method=fedavg model=mixed", "method=fedavg", "mlp, logistic"),
    "features of several widths": (
        "method=fedproto model=mixed model.shares={mlp:1,wide:1} model.models={wide:{name:mlp,hidden:[32]}}",
        "features",
        "mlp 64, wide 32",
    ),
    "coefficients that overshoot": ("method=kt_pfl method.strategy.rho=6", "method.strategy.lr", "0.0833"),
    "mixtures of numbers": (
        "method=kt_pfl method.knowledge=logits data=diabetes model=mlp",
        "personal_consensus",
    ),
    "a carried student among groups": ("method=feddf method.client=fml", "method.client=fml", "averaging"),
    "another student in FedAvg": ("method=fedavg student=logistic", "student"),
    "a mixed student": ("student=mixed", "student:", "fedkd list models"),
    "a mixture of an unknown model": ("method=fd model=mixed model.shares={mlpp:1}", "mlpp", "'mlp'"),
    "a mixture of nothing": ("method=fd model=mixed model.shares={}", "model.shares"),
    "groups that do not divide the channels": ("model=resnet model.groups=3", "model.groups=3"),
    "a convolution on a table": ("method=fedavg data=diabetes model=lenet", "model=lenet"),
    "rotated tables": ("method=fedavg data=diabetes partition=feature", "partition=feature"),
    "class means of a regression": ("method=fd data=diabetes", "data=diabetes is a regression"),
    "probabilities of a regression": ("method=dsfl data=diabetes", "data=diabetes is a regression"),
    "sharpening in a regression": ("method=fedmd data=diabetes method.fusion=era", "method.fusion=era"),
    "half precision for weights": ("method=fedavg method.codec=float16", "method.codec=float16"),
    "FedGEMS on a public set without labels": (
        "method=fedgems proxy.labelled=false",
        "method=fedgems",
        "another method.strategy",
    ),
    "MHAT on a public set without labels": (
        "method=mhat proxy.labelled=false",
        "method.client.label_weight=0",
        "method.distiller.label_weight=0",
    ),
    "FedGEMS without a distiller": ("method=fedgems method.distiller=null", "method.distiller=null"),
    "a fusion that FedGEMS has no use for": ("method=fedgems method.fusion=era", "method.fusion"),
    "votes of logits": ("method=fedmd method.codec=constrained", "method.codec=constrained", "logits"),
    "votes of logits going down": (
        "method=fedmd method.codec_down=top_k",
        "method.codec_down=top_k",
        "method.codec_down",
    ),
    "differences where no copies are kept": ("method=fd method.codec=delta", "method.codec=delta", "copies"),
    "half precision for weights going down": (
        "method=fedavg method.codec_down=float16",
        "method.codec_down=float16",
    ),
    "an unknown codec inside another": (
        "method.codec=delta method.codec.of=int9",
        "method.codec.of.name",
        "'int8'",
    ),
    "a difference of differences": (
        "method.codec=delta method.codec.of=delta",
        "codec.of",
        "remembers nothing",
    ),
    "knowledge that a strategy does not take": ("method.knowledge=weights", "method.knowledge=weights"),
    "knowledge where nothing is exchanged": (
        "method=local method.knowledge=logits",
        "method.knowledge=logits",
    ),
    "a fusion that has no effect": ("method=fedavg method.fusion=era", "method.fusion"),
    "a distiller that has no effect": ("method=fd method.distiller.temperature=3", "method.distiller"),
    "no fusion where one is needed": ("method.fusion=null", "method.fusion"),
    "no distiller where one is needed": ("method=feddf method.distiller=null", "method.distiller=null"),
    "an unknown baseline": ("baselines=[local_only,fedavgg]", "baselines: got 'fedavgg'", "'fedavg'"),
    "a deletion": ("~rounds", "~rounds"),
    "a sweep without -m": ("seed=0,1", "seed=0,1", "-m"),
    "an option without a value": ("rounds", "rounds"),
    "an option without a key": ("=3", "=3"),
    "an option with two values": ("a=b=c", "key=value"),
    "an unfinished quotation": ("'rounds=3", "key=value"),
    "an unknown switch": ("--foo", "--foo"),
    "recipes in a folder that does not exist": ("--config-dir nowhere", "--config-dir", "nowhere"),
}


def is_one_line(code: int, err: str, *words: str) -> None:
    assert code != 0
    assert err.startswith("fedkd: ")
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err


@pytest.mark.parametrize("case", OPTIONS)
def test_a_bad_option_is_one_line_and_no_folder(case: str, command: Command) -> None:
    line, *words = OPTIONS[case]
    said = command("run", *line.split(), *([] if "output" in line else ["output=out"]))
    is_one_line(said.code, said.err, *words)
    assert not said.out
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("rnu", "run"),
        ("resume", "DIR"),
        ("list fusion", "'fusions'"),
        ("data", "command"),
        ("data fetch", "--all"),
        ("data fetch mnist_1k", "'mnist_10k'"),
        ("run -m rounds=0,1,", "key=value"),
    ],
)
def test_a_bad_command_is_one_line(line: str, word: str, command: Command) -> None:
    said = command(*line.split())
    is_one_line(said.code, said.err, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"name: [", "recipe"),
        (b"- a\n- b\n", "model"),
        (b"\xff\xfe\xff", "recipe"),
        (b"name: mlp\nhidden: ${nothing}\n", "nothing"),
        (b"name: mlp\nwidth: 3\n", "model.width"),
        (b"_target_: os.system\n", "model"),
    ],
)
def test_a_broken_recipe_of_ones_own_is_one_line(
    text: bytes, word: str, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "own/model").mkdir(parents=True)
    (tmp_path / "own/model/mine.yaml").write_bytes(text)
    said = command("run", "model=mine", "output=out", "--config-dir", str(tmp_path / "own"))
    is_one_line(said.code, said.err, word)
    assert not list(Path.cwd().iterdir())


def test_a_broken_plugin_is_one_line_when_it_is_named(
    plugin: Callable[[str, str, str], None], command: Command
) -> None:
    plugin("fedkd.fusions", "crooked", "no_such_module:Crooked")
    said = command("run", "method.fusion=crooked", "output=out")
    is_one_line(said.code, said.err, "method.fusion", "crooked", "no_such_module")
    assert not list(Path.cwd().iterdir())


def test_a_missing_ray_is_one_line(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = command("run", "runtime=ray", "output=out")
    is_one_line(said.code, said.err, "runtime=ray", "runtime=inline")
    assert not list(Path.cwd().iterdir())
