"""docs/methods.md says what the code says; `make docs` writes it."""

from pathlib import Path

import pytest

from fedkd.assembly.compose import recipes
from fedkd.cli.allowed import working
from fedkd.cli.main import main
from fedkd.cli.methods import Recipe, facts_of, paper_of, parts_of, read_methods, words_of_part
from fedkd.cli.methods_page import page_of
from fedkd.tasks import TASKS

RECIPES = read_methods()
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_page_is_the_one_that_the_code_writes() -> None:
    written, page = PAGE.read_text(), page_of(RECIPES.values())
    assert written == page, "docs/methods.md is stale; `make docs` writes it anew"


def test_every_recipe_has_a_section_and_a_row() -> None:
    page = PAGE.read_text()
    for name in recipes("method"):
        assert f"\n### {name}\n" in page
        assert f"\n| [`{name}`](#{name}) |" in page


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_recipe_says_what_it_is_and_its_parts_the_equation_and_the_paper(recipe: Recipe) -> None:
    assert recipe.comment.summary.endswith("."), "its first line is one sentence"
    assert recipe.method is not None, recipe.broken
    parts = [part for _, part in parts_of(recipe)]
    modules = sorted({type(part).__module__ for part in parts})
    assert any(words_of_part(part).equations for part in parts), (
        f"none of {modules} has an equation: an indented paragraph in its docstring"
    )
    if recipe.comment.author is not None:
        assert paper_of(recipe) is not None, (
            f'none of {modules} names a paper of {recipe.comment.author}: `Authors, "Title" (where, year)` in its docstring'
        )


def test_what_is_labelled_and_mixed_is_what_the_parts_say() -> None:
    facts = {name: facts_of(recipe) for name, recipe in RECIPES.items()}
    assert facts["fedavg"].public == "none"
    assert {facts[name].public for name in ("dsfl", "feddf", "kt_pfl")} == {"unlabelled"}
    assert {facts[name].public for name in ("fedgems", "mhat", "fedmd", "ca_mkd", "amtml")} == {"labelled"}
    mixed = {name: facts[name].mixed for name in ("fedavg", "feddf", "fd", "fml", "pooled")}
    assert mixed == {"fedavg": "no", "feddf": "by group", "fd": "yes", "fml": "yes", "pooled": "one client"}
    assert facts["fedaux"].down == "`weights`"
    assert facts["fedgkd"].down == "`weights` and what the strategy adds"


def test_parts_are_said_to_work_on_the_tasks_that_they_are_about() -> None:
    found = {(slot, part): tasks for slot, parts, tasks in working(RECIPES.values()) for part in parts}
    assert set(found["fusion", "mean_logits"]) == set(TASKS)
    assert found["fusion", "precision"] == ("gaussian_regression",)
    assert found["fusion", "mean_relations"] == ("recognition",)
    assert found["weighting", "class_counts"] == found["fusion", "union"] == ("classification",)
    assert "multitask_classification" not in found["weighting", "variance"]


def test_a_recipe_of_ones_own_gets_a_section_and_a_broken_one_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "method"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "# Mine (Doe, 2026): FedAvg by another name.\nname: mine\nstrategy: averaging\nclient: supervised\nknowledge: weights\n"
    )
    (folder / "odd.yaml").write_text("# Odd.\nname: odd\nstrategy: no_such_strategy\n")
    page = page_of(read_methods(tmp_path).values())
    assert "| [`mine`](#mine) | `weights` | `weights` | 4 K W | 4 K W | none | no | yes |" in page
    assert f"- **Recipe**: `{folder / 'mine.yaml'}`" in page
    assert "`odd` is broken: " in page
    assert "\n### fedavg\n" in page


def test_only_methods_have_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "fusions", "--markdown"]) == 2
    assert "methods" in capsys.readouterr().err
