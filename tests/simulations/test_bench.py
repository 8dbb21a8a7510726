import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from simulations.bench.contest import Contest, contestants
from simulations.bench.job import Contestant, Job
from simulations.bench.peers import raw
from simulations.bench.prepare import prepare
from simulations.bench.profiling import profiled
from simulations.bench.settings import fedavg, patches
from simulations.bench.tables import compared, ratios, spread

WORK = [*fedavg(1), *patches(3, 64)]
BY_NAME = {(player.name, player.peer): player for player in contestants()}
RAW, OURS = BY_NAME["raw loop, 1 process", "raw"], BY_NAME["fedkd, inline", "ours"]


def here(player: Contestant, job: Job) -> float:
    """Let a contestant do a job in this process, which is quicker and as good where nothing is timed."""
    job.folder.mkdir()
    importlib.import_module(f"simulations.bench.peers.{player.peer}").play(job).write(job.folder)
    return 0.0


def test_fedkd_and_the_raw_loop_end_with_the_same_weights_and_other_batches_do_not() -> None:
    astray = Contestant("other batches", "raw", {**RAW.options, "shift": 1})
    first, ours, other = Contest(WORK, perform=here).run([RAW, OURS, astray], repeats=0)
    assert not first.failure
    assert not ours.failure
    assert ours.difference < 1e-4
    assert other.difference > 1e-2
    assert "other weights" in other.failure
    assert not other.rounds  # who fails is not timed

    report = compared("work", [first, ours, other], cohort=3)
    assert [row[0] for row in report.rows] == [RAW.name, f"**{OURS.name}**", "other batches"]
    assert "other weights" in report.markdown()


def test_raw_loops_do_what_the_material_says_in_any_style(tmp_path: Path) -> None:
    material = prepare(WORK, rounds=2, folder=tmp_path)
    changes = []
    for style in ("idiom", "tuned"):
        job = Job(material, 2, {"style": style, "processes": 1}, tmp_path)
        changes.append(raw.play(job).weights - material.array("initial"))
    torch.testing.assert_close(*changes, rtol=1e-4, atol=1e-6)
    assert sorted(np.unique(material.orders[0, 0])) == list(range(64))


def test_ratios_are_taken_within_a_repeat() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert spread([3.0, 1.0, 2.0]) == "2.00 [1.00, 3.00]"
    assert pytest.approx([1.5]) == ratios([3.0], [2.0])


def test_a_profile_names_the_product_of_the_layers_and_its_shares_sum_to_one() -> None:
    found = profiled([*fedavg(1), *patches(3, 64), "engine=vectorised"], clients=3)
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert any("mm" in one.name and one.calls for one in found)
