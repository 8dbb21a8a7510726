"""Text is classified as pictures are: a few messages to twenty newsgroups, federated in several ways."""

from pathlib import Path

import pytest

import fedkd

TINY = (
    "data=newsgroups",
    "data.words=300",
    "data.samples=700",
    "data.test_samples=100",
    "proxy.size=100",
    "model=mlp",
    "model.hidden=[16]",
    "runtime=inline",
    "rounds=1",
    "method.client.fit.epochs=10",
    "method.client.fit.optimizer={name: adam, lr: 0.01}",
)


@pytest.mark.parametrize(
    "options",
    [
        ("method=fedavg", "clients=3", "partition=iid"),
        ("method=feddf", "clients=3", "partition=iid", "method.distiller.fit.epochs=1"),
        ("method=fedmd", "clients=3", "partition=iid", "method.client.pretrain.epochs=1"),
        ("method=aver", "clients=2", "model=mixed", "partition.noise=0", "method.distiller.fit.epochs=1"),
    ],
    ids=lambda options: options[0],
)
def test_messages_are_classified_with_every_metric(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)
    own = tuple(option for option in TINY if "mixed" not in str(options) or "model" not in option)
    result = fedkd.run(*own, *options, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    for name in ("accuracy", "macro_f1", "ece"):
        value = result.final[f"student/test/{name}"]
        assert value is not None
        assert 0.0 <= value <= 1.0
    uniform = result.final["ensemble_uniform/test/accuracy"]
    assert uniform is not None
    assert uniform > 0.1  # chance is a twentieth
