import gc
from collections.abc import Iterator

import pytest

from fedkd.foundation import garbage
from fedkd.foundation.garbage import old_objects_frozen


@pytest.fixture
def _outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the block that the whole session is in."""
    monkeypatch.setattr(garbage, "_WITHIN", [])
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("_outside")
def test_old_objects_are_kept_from_the_collector_up_to_the_end_of_the_outermost_block() -> None:
    with old_objects_frozen():
        with old_objects_frozen():
            assert gc.get_freeze_count() > 1000
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("_outside")
def test_they_are_looked_at_again_after_an_error() -> None:
    with pytest.raises(KeyError), old_objects_frozen():
        raise KeyError
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("_outside")
def test_who_has_frozen_them_before_keeps_them_frozen() -> None:
    gc.freeze()
    with old_objects_frozen():
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() > 1000
