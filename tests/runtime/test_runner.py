import gc

from fedkd.runtime.runner import _nothing_old_collected


def test_old_objects_are_kept_from_the_collector_during_a_run_and_afterwards_only_where_they_were_before() -> (
    None
):
    gc.unfreeze()
    try:
        with _nothing_old_collected():
            assert gc.get_freeze_count() > 1000
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()  # as the tests found it
    with _nothing_old_collected():
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() > 1000
