"""The page of the survey agrees with its source, and names nothing that is not there."""

import pytest

from simulations.survey import PAGE, ROOT, Item, Section, Survey, file_of, page, result


def test_the_page_is_what_its_source_and_the_results_make() -> None:
    assert page(Survey.read()) == PAGE.read_text("utf-8"), "run make docs"


def test_no_item_is_said_twice_and_each_is_here_or_says_why_not() -> None:
    items = [item for section in Survey.read().sections for item in section.items]
    assert len({item.item for item in items}) == len(items)
    assert all(bool(item.by) != bool(item.absent) for item in items)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Item(item="a", by=("method/nonsuch",), test="tests/conftest.py"), "no configs/method/nonsuch.yaml"),
        (Item(item="a", by=("nonsuch/kd",), test="tests/conftest.py"), "families are"),
        (Item(item="a", by=("loss/nonsuch",), test="tests/conftest.py"), "fedkd.losses has no nonsuch"),
        (Item(item="a", by=("method/kd",), test="tests/nonsuch.py"), "no tests/nonsuch.py"),
        (Item(item="a", by=("method/kd",)), "needs `by` and `test`"),
        (
            Item(item="a", by=("method/kd",), test="tests/conftest.py", study="nonsuch", column="x"),
            "no simulations",
        ),
        (Item(item="a", by=("method/nonsuch",), test="tests/conftest.py", study="nonsuch"), "no configs"),
        (
            Item(item="a", by=("method/kd",), test="tests/conftest.py", study="losses", row="nonsuch"),
            "no row 'nonsuch'",
        ),
    ],
)
def test_what_is_not_there_is_said(item: Item, said: str) -> None:
    with pytest.raises(LookupError, match=said):
        page(Survey(columns={"losses": "difference"}, sections=(Section(title="t", items=(item,)),)))


def test_a_result_is_the_cell_of_the_first_row_that_is_named_so() -> None:
    assert result("codecs", "1 bit", "times fewer bytes") == "32.0"
    assert result("online_and_self", "PS", "method") == "PS-KD"  # a row may be named by how it begins
    assert (ROOT / file_of("term/kd")).is_file()
    assert file_of("loss/kd").name == "response.py"
