import numpy as np
import pytest
import torch

from fedkd.data.datasets._characters import ALPHABET, WINDOW, encode, packed, windows
from fedkd.data.datasets.digits import Digits
from fedkd.data.datasets.kjv import Kjv
from fedkd.data.datasets.shakespeare import Shakespeare, speeches
from fedkd.data.federated import federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.partitions.natural import Natural
from fedkd.data.proxies.dataset import OtherDataSet
from fedkd.data.proxies.noise import Noise
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams

PLAY = """PERSONS.

KING.
A cast of many.

ACT I.
SCENE I. A hall.

[Enter the KING
and a fool.]

KING.
Who goes   there? [Aside.] A fool!
[Exit.]
No king.

Fool.
'Tis I.

ACT II.

Nobody says this.
"""


def read(numbers: torch.Tensor) -> str:
    return "".join(ALPHABET[int(number)] for number in numbers)


def test_roles_say_their_lines_and_no_stage_directions_lists_or_headings() -> None:
    assert speeches(PLAY) == {"KING": "Who goes there? A fool!\nNo king.", "FOOL": "'Tis I."}


def test_characters_out_of_the_alphabet_are_left_out() -> None:
    assert read(torch.from_numpy(encode("A{1}b\tc é€!"))) == "Abc !"


def test_windows_follow_each_other_and_never_cross_owners() -> None:
    texts = [encode("a" * (2 * WINDOW + 1)), encode("b" * WINDOW), encode("cd" * WINDOW)]
    cut = windows(*(packed(texts)[name].astype(int) for name in ("text", "ends")))
    assert cut.owners is not None
    assert cut.owners.tolist() == [0, 0, 2]
    assert set(np.unique(cut.targets[:2])) == {ALPHABET.index("a")}
    assert read(cut.views["tokens"][2][:4]) == "cdcd"
    assert read(cut.targets[2][:4]) == "dcdc"


def test_texts_are_english_and_each_target_is_the_next_symbol() -> None:
    raw = Kjv().read()
    assert read(raw.views["tokens"][0]).startswith("In the beginning God created")
    loaded = Shakespeare(samples=500).load(Streams(0))
    tokens = loaded.train.inputs["tokens"]
    assert torch.equal(tokens[:, 1:], loaded.train.targets[:, :-1])
    assert "the " in read(tokens.flatten())
    assert loaded.info.symbols == {"tokens": len(ALPHABET)}


def test_one_text_is_a_proxy_set_for_the_other_with_its_symbols_as_targets() -> None:
    data = federate(Shakespeare(samples=400), Natural(), OtherDataSet(dataset="kjv", size=50), 5, Streams(0))
    assert data.proxy is not None
    tokens = data.proxy.inputs["tokens"]
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens[:, 1:], data.proxy.targets[:, :-1])


def test_noise_in_the_place_of_text_is_any_symbol_and_says_nothing_of_the_next() -> None:
    proxy = federate(Kjv(samples=100), Iid(), Noise(size=300), 3, Streams(0)).proxy
    assert proxy is not None
    assert proxy.inputs["tokens"].unique().tolist() == list(range(len(ALPHABET)))
    assert (proxy.targets == -1).all()


def test_images_are_no_proxy_set_for_text() -> None:
    with pytest.raises(IllegalCombination, match="'tokens'"):
        OtherDataSet(dataset="digits").check(Kjv(), 100)
    with pytest.raises(IllegalCombination, match="'image'"):
        OtherDataSet(dataset="kjv").check(Digits(), 100)
