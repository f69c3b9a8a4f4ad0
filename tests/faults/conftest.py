from collections.abc import Iterator

import pytest

from tests.faults import dying
from tests.runs.conftest import backend, config, home, store  # noqa: F401 - the fixtures of the runs


@pytest.fixture(autouse=True)
def no_survivors() -> Iterator[None]:
    """No worker of a test outlives it, least of all a sleeping one."""
    yield
    dying.bury()
