"""docs/methods.md says what the code says; `make docs` writes it."""

from pathlib import Path

import pytest

from fedkd.assembly.compose import recipes
from fedkd.cli.docstrings import words_of
from fedkd.cli.methods import modules_of, paper_of, read_methods
from fedkd.cli.methods_page import page_of

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_page_is_the_one_that_the_code_writes() -> None:
    written, page = PAGE.read_text(), page_of(read_methods().values())
    assert written == page, "docs/methods.md is stale; `make docs` writes it anew"


def test_every_recipe_has_a_section_and_a_row() -> None:
    page = PAGE.read_text()
    for name in recipes("method"):
        assert f"\n### {name}\n" in page
        assert f"\n| [`{name}`](#{name}) |" in page


@pytest.mark.parametrize("name", recipes("method"))
def test_a_recipe_has_parts_that_state_an_equation_and_the_paper_that_it_names(name: str) -> None:
    recipe = read_methods()[name]
    assert recipe.method is not None, recipe.broken
    modules = [module for _, module in modules_of(recipe)]
    assert any(words_of(module).equations for module in modules), (
        f"none of {modules} has an equation: an indented paragraph in its docstring"
    )
    if recipe.comment.author is not None:
        assert paper_of(recipe) is not None, (
            f'none of {modules} names a paper of {recipe.comment.author}: `Authors, "Title" (where, year)` in its docstring'
        )
