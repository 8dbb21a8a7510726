"""What is read in docstrings and in the comments of recipes."""

from fedkd.cli.docstrings import read_comment, read_words

DOCSTRING = """A client that learns (FedX).

FedX: Doe, Roe & Poe, "On X: Federated" (ICML 2021; IEEE (T) 2022), equation 1:

    L = CE(p, y)
        + weight * X

Its size, in words. Not here: X as it was in the code.

>>> FedX()
FedX()

Differs from the paper: it is
shorter.
"""


def test_papers_equations_and_differences_are_read_and_examples_are_not() -> None:
    words = read_words(DOCSTRING)
    assert words.papers == ('Doe, Roe & Poe, "On X: Federated" (ICML 2021; IEEE (T) 2022)',)
    assert words.equations == ("L = CE(p, y)\n    + weight * X",)
    assert words.differences == (
        "Not here: X as it was in the code.",
        "Differs from the paper: it is shorter.",
    )


def test_a_recipe_begins_with_what_it_is_then_notes_then_differences() -> None:
    comment = read_comment(
        "# FedX (Doe et al., 2021): learns.\n# A note\n# of two lines.\n# Not in the paper: clipping,\n# and more.\nname: fedx\n# no more"
    )
    assert comment.summary == "FedX (Doe et al., 2021): learns."
    assert comment.author == "Doe"
    assert comment.notes == ("A note of two lines.",)
    assert comment.differences == ("Not in the paper: clipping, and more.",)


def test_a_recipe_without_a_paper_or_a_comment_names_no_author() -> None:
    assert read_comment("# Everyone alone (for 2021): the reference.\n").author == "for"
    assert read_comment("# Everyone alone: the reference.\n").author is None
    assert read_comment("name: fedx\n").summary == ""
