"""Rules of the house that no linter knows: how long a file may be, and who may look a task or a scheme up by its name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KNOW_TASKS = ("fedkd/tasks/", "fedkd/data/targets.py")
"""Where a task may be told by its name: everything else asks the task, or `TARGETS`."""

LADDERS = re.compile(r"\.task\s*(==|!=|in\b|not\s+in\b)|\bscheme\s*(==|!=)|\bmatch\s+\S*(\.task|scheme)\s*:")


def files(*folders: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {name: text.count("\n") for name, text in files("fedkd", "tests", "simulations")}
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_nothing_outside_the_tasks_branches_on_the_name_of_a_task() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name, text in files("fedkd", "simulations", "examples")
        if not name.startswith(KNOW_TASKS)
        for line in text.splitlines()
        if LADDERS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'if data.task == "generation":',
        "if data.info.task not in REGRESSIONS:",
        "if info.heads or info.task in {}:",
        'elif self.scheme == "offline":',
        "match data.task:",
    ],
)
def test_a_ladder_is_seen(line: str) -> None:
    assert LADDERS.search(line)
