from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_falls_back(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a cohort was trained one after the other without saying so: the two ways would be one."""
    yield
    if "falls_back" not in request.node.name:
        said = [
            record.getMessage()
            for record in caplog.get_records("call")
            if record.name == "fedkd.engine.handlers"
        ]
        assert not said
