import os
from pathlib import Path

import numpy as np
import pytest

from iapo_core.arms import Contexts
from iapo_core.environment import split_queries
from iapo_core.environments.table import TableEnvironment

MATH = Path(os.environ.get("IAPO_MATH_NPZ", Path(__file__).parents[2] / "shared" / "data" / "math_llama70b.npz"))


@pytest.fixture(scope="session")
def math_path() -> Path:
    """The paper's released MATH environment; what needs it skips where it is absent."""
    if not MATH.exists():
        pytest.skip("the MATH environment is not here; set IAPO_MATH_NPZ to its path")
    return MATH


def votes_environment(n_candidates=4, n_queries=20, n_answers=3, n_max=8, seed=0, n_contexts=2) -> TableEnvironment:
    """A small majority-vote environment with known truth."""
    rng = np.random.default_rng(seed)
    return TableEnvironment(
        "small-votes",
        rng.dirichlet(np.ones(n_answers), (n_candidates, n_queries)),
        rng.uniform(0.005, 0.01, n_candidates),
        Contexts(tuple(f"c{i}" for i in range(n_contexts)), np.ones((n_contexts, 1)), np.linspace(0, 1, n_contexts)),
        n_max,
        split_queries(n_queries, seed),
        gold=rng.integers(0, n_answers, n_queries).astype(np.int16),
        is_simulated=True,
    )


def outcomes_environment(n_candidates=4, n_queries=20, n_outcomes=5, n_max=8, seed=0) -> TableEnvironment:
    """A small Best-of-N environment with two objectives and known truth."""
    rng = np.random.default_rng(seed)
    weights = np.array([[0.2, 0.8], [0.8, 0.2], [0.2, 0.8]])
    return TableEnvironment(
        "small-outcomes",
        rng.dirichlet(np.ones(n_outcomes), (n_candidates, n_queries)),
        rng.uniform(0.005, 0.01, n_candidates),
        Contexts(("a", "b", "a dear"), weights, np.array([0.0, 0.0, 1.0])),
        n_max,
        split_queries(n_queries, seed),
        outcomes=rng.random((n_candidates, n_queries, n_outcomes, 2)),
        is_simulated=True,
    )
