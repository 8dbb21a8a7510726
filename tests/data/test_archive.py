import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fedkd.data.archive import Archive, Arrays, digest, load, obtain
from fedkd.data.sources import Folder, UserFolder
from fedkd.foundation.errors import DataUnavailable

SQUARES = "0 1 4 9 16"


def decode(folder: Path) -> Arrays:
    return {"squares": np.array((folder / "squares.txt").read_text().split(), dtype=np.int64)}


def archive(*folders: Path) -> Archive:
    right = digest({"squares": np.array([0, 1, 4, 9, 16])})
    return Archive(
        "squares",
        ("squares.txt",),
        tuple(Folder(str(folder), "a folder") for folder in folders),
        decode,
        right,
    )


def folder_with(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "squares.txt").write_text(text)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_sources_are_tried_in_order_until_one_delivers_the_right_arrays(tmp_path: Path) -> None:
    wrong = folder_with(tmp_path / "wrong", "0 1 4 9 17")
    undecodable = folder_with(tmp_path / "undecodable", "zero one")
    right = folder_with(tmp_path / "right", SQUARES)
    wanted = archive(tmp_path / "missing", wrong, undecodable, right)
    assert load(wanted)["squares"].tolist() == [0, 1, 4, 9, 16]
    assert wanted.path.exists()


def test_the_first_sound_source_is_the_one_that_is_used(tmp_path: Path) -> None:
    first, second = folder_with(tmp_path / "first", SQUARES), folder_with(tmp_path / "second", SQUARES)
    (second / "squares.txt").chmod(0)
    obtain(archive(first, second))
    assert load(archive())["squares"].sum() == 30  # from the cache: there is no source any more


def test_when_no_source_delivers_the_error_says_for_each_what_happened_and_nothing_is_left(
    tmp_path: Path, cache: Path
) -> None:
    wrong = folder_with(tmp_path / "wrong", "0 1 4 9 17")
    undecodable = folder_with(tmp_path / "undecodable", "zero one")
    with pytest.raises(DataUnavailable) as caught:
        obtain(archive(tmp_path / "missing", wrong, undecodable))
    message = str(caught.value)
    assert "there is no folder" in message
    assert "is something else: SHA-256" in message
    assert "cannot be decoded (ValueError" in message
    assert "\n" not in message
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_named_with_its_cure_and_fetching_again_repairs_it(tmp_path: Path) -> None:
    wanted = archive(folder_with(tmp_path / "right", SQUARES))
    path = obtain(wanted)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataUnavailable, match=r"is damaged .* `fedkd data fetch squares`"):
        load(wanted)
    obtain(wanted)
    assert load(wanted)["squares"].tolist() == [0, 1, 4, 9, 16]


def test_a_cache_with_one_changed_byte_is_refused(tmp_path: Path) -> None:
    wanted = archive(folder_with(tmp_path / "right", SQUARES))
    path = obtain(wanted)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataUnavailable, match="SHA-256 differs"):
        load(wanted)


def test_a_cached_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    wanted = archive(folder_with(tmp_path / "right", SQUARES))
    wanted.path.mkdir(parents=True)
    with pytest.raises(DataUnavailable, match="data set squares: ") as caught:
        load(wanted)
    assert "\n" not in str(caught.value)


def test_a_cache_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataUnavailable, match=r"cannot write to the cache .* set FEDKD_CACHE"):
        obtain(archive(folder_with(tmp_path / "right", SQUARES)))


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from fedkd.data.archive import Archive, digest, obtain
        from fedkd.data.sources import Folder
        from fedkd.foundation.errors import DataUnavailable
        arrays = {"zeros": np.zeros(100_000)}
        Path(sys.argv[1], "empty.txt").touch()
        big = Archive("zeros", ("empty.txt",), (Folder(sys.argv[1], "here"),), lambda folder: arrays, digest(arrays))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            obtain(big)
        except DataUnavailable as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"FEDKD_CACHE": str(cache)}
    )
    assert "cannot write to the cache" in done.stdout
    assert list(cache.iterdir()) == []


def test_the_folder_of_the_user_is_found_by_its_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path / "squares", SQUARES)
    wanted = archive()
    wanted = Archive(wanted.name, wanted.files, (UserFolder("squares"),), decode, wanted.sha256)
    with pytest.raises(DataUnavailable, match="FEDKD_DATA is not set"):
        obtain(wanted)
    monkeypatch.setenv("FEDKD_DATA", str(tmp_path))
    assert obtain(wanted).exists()


def test_the_digest_sees_names_types_and_shapes_as_well_as_bytes() -> None:
    zeros = np.zeros(4, dtype=np.int32)
    digests = [
        digest(arrays)
        for arrays in ({"a": zeros}, {"b": zeros}, {"a": zeros.reshape(2, 2)}, {"a": zeros.view(np.float32)})
    ]
    assert len(set(digests)) == 4


def test_arrays_that_are_parts_of_others_are_cached_as_they_are_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "folder", SQUARES)
    right = np.arange(6).reshape(2, 3)[:, :2]
    whole = Archive(
        "part",
        ("squares.txt",),
        (Folder(str(folder), "a folder"),),
        lambda _: {"part": np.arange(6).reshape(2, 3)[:, :2]},
        digest({"part": right}),
    )
    load(whole)
    assert load(whole)["part"].tolist() == right.tolist()


def test_a_single_number_comes_back_without_an_axis(tmp_path: Path) -> None:
    number = np.array(7, dtype=np.int64)
    one = Archive(
        "one", (), (Folder(str(tmp_path), "a folder"),), lambda _: {"one": number}, digest({"one": number})
    )
    assert load(one)["one"].shape == load(one)["one"].shape == ()  # as it was fetched, and from the cache
    assert digest({"one": number}) != digest({"one": number[None]})
