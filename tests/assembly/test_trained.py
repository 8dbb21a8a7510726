"""Weights that were trained before: by name, folder or file, and refused where they do not fit."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.trained import weights_for, weights_in
from fedkd.cli.estimate import estimate_of
from fedkd.data.pretrained import published_weights
from fedkd.foundation.errors import InvalidOption, RunFolderError
from fedkd.models.digit_cnn import DigitCNN, Domain
from fedkd.strategies.offline_distillation import Teaching

KEY = "method.strategy.checkpoints"
TINY = (
    "method=pretrained",
    "runtime=inline",
    "threads=1",
    "data.samples=60",
    "data.test_samples=60",
    "data.validation=0.006",
    "method.distiller.fit.epochs=1",
)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidOption, match=r"nowhere.*run folder, a file"):
        weights_in(str(tmp_path / "nowhere"), key=KEY)
    with pytest.raises(RunFolderError, match="holds no run"):
        weights_in(str(tmp_path / "empty"), key=KEY)


@pytest.mark.parametrize("place", ["ccexam/mnits", "ccexam/usbs", "/somewhere/ccexam/usp"])
def test_a_name_of_published_weights_that_is_nearly_right_is_answered_with_all_and_the_right_one(
    place: str,
) -> None:
    meant = "mnist" if place.endswith("mnits") else "usps"
    with pytest.raises(InvalidOption) as caught:
        weights_in(place, key=KEY)
    message = str(caught.value)
    assert message.startswith(f"{KEY}: got {place!r}, allowed is a run folder, a file of safetensors")
    assert "one of ccexam/mnist, ccexam/svhn, ccexam/usps" in message
    assert message.endswith(f"did you mean 'ccexam/{meant}'?")
    assert "\n" not in message


def test_names_stay_and_places_that_are_there_are_spelled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ccexam" / "mnist").mkdir(parents=True)
    given = ("ccexam/mnist", "./ccexam/mnist", "nowhere")
    assert Teaching(checkpoints=given).trained == ("ccexam/mnist", str(tmp_path / "ccexam/mnist"), "nowhere")


def test_weights_are_dealt_in_turn_and_must_be_of_the_clients_networks(tmp_path: Path) -> None:
    def network(domain: Domain) -> torch.nn.Module:
        return DigitCNN(domain=domain).network((1, 28, 28), 10)

    mnist, usps = network("mnist"), network("usps")
    names = ("ccexam/mnist", "ccexam/usps")
    found = weights_for([mnist, usps, mnist], names, key=KEY)
    assert [len(weights) for weights in found] == [8, 18]
    assert weights_for([mnist], (), key=KEY) == []
    with pytest.raises(
        InvalidOption,
        match=r"got 'ccexam/mnist'.*client 2, .*in turn; this network has no classifier\.0\.bias, they have",
    ):
        weights_for([mnist, usps, usps], names, key=KEY)
    safetensors.torch.save_file(
        DigitCNN().network((1, 28, 28), 7).state_dict(), tmp_path / "seven.safetensors"
    )
    with pytest.raises(
        InvalidOption, match=r"has classifier\.2\.bias \[10\], they have classifier\.2\.bias \[7\]"
    ):
        weights_for([mnist], (str(tmp_path / "seven.safetensors"),), key=KEY)


def test_a_run_whose_weights_do_not_fit_ends_before_anybody_trains(tmp_path: Path) -> None:
    order = f"{KEY}=[ccexam/usps,ccexam/mnist,ccexam/svhn]"
    with pytest.raises(InvalidOption, match=r"got 'ccexam/usps'.*client 0"):
        fedkd.run(*TINY, order, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_published_networks_teach_as_they_are(tmp_path: Path) -> None:
    """Also those with BatchNorm, whose statistics nothing moves; one line is enough, and what crosses is foretold."""
    result = fedkd.run(*TINY, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    own = result.frame.query("scope == 'client' and metric == 'accuracy' and split == 'test'")
    accuracy = own.set_index(own["client"].astype(int))["value"]
    assert accuracy[0] > 0.95
    assert accuracy[1:].between(0.5, 0.85).all()
    sizes = [
        sum(weight.nbytes for weight in published_weights(f"ccexam/{name}").values())
        for name in ("mnist", "usps", "svhn")
    ]
    estimate = estimate_of(Experiment.from_config(compose(list(TINY))))
    assert (
        result.summary["payload_down"] == result.summary["payload_up"] == sum(sizes) == estimate.payload_down
    )
