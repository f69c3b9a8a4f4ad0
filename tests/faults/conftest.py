from tests.runs.conftest import backend, config, home, store  # noqa: F401 - the fixtures of the runs
