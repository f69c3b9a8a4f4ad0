"""SIMULATED environments with known truth: Synth-Bernoulli (majority vote) and Synth-Categorical (Best-of-N).

After the two synthetic environments of Mahmud et al., AAAI-26: 32 prompts, N_max 32, 520 / 512 queries, 3 / 27 contexts. The
paper does not print its distributions; ours are written out here and follow from the seed alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iapo_core.arms import Contexts, FloatArray
from iapo_core.environment import split_queries
from iapo_core.environments.table import TableEnvironment
from iapo_core.errors import TaskError
from iapo_core.task import MAX_SCALE, Identifier

COST_WEIGHTS = (0.0, 0.2, 1.0)
_N_TIERS = 4


class Simulation(BaseModel):
    """The recipe of a simulated task, as `simulation.json` holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(alias="schema")
    id: Identifier
    title: str
    description: str
    generator: Literal["bernoulli", "categorical"]
    n_prompts: Annotated[int, Field(ge=1, le=2_000)] = 32
    n_queries: Annotated[int, Field(ge=2, le=20_000)] = 520
    n_max: Annotated[int, Field(ge=1, le=MAX_SCALE)] = 32
    deceptive: Annotated[float, Field(ge=0, le=1)] = 0.5
    seed: Annotated[int, Field(ge=0)] = 0


def read_simulation(path: Path) -> Simulation:
    """Read a recipe.

    Raises:
        TaskError: If it cannot be read or holds something else.
    """
    try:
        return Simulation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TaskError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}; correct it.") from error


def simulate(recipe: Simulation, *, seed: int) -> TableEnvironment:
    """Build the environment; `recipe.seed` makes the distributions, `seed` splits the queries."""
    maker = synth_bernoulli if recipe.generator == "bernoulli" else synth_categorical
    environment = maker(
        recipe.seed, n_prompts=recipe.n_prompts, n_queries=recipe.n_queries, n_max=recipe.n_max,
        deceptive=recipe.deceptive, split_seed=seed,
    )  # fmt: skip
    environment.name = recipe.id
    return environment


def synth_bernoulli(
    seed: int, *, n_prompts: int = 32, n_queries: int = 520, n_max: int = 32, deceptive: float = 0.5, split_seed: int = 0
) -> TableEnvironment:
    """Two answers, four difficulty tiers; a prompt is right with its tier's probability, jittered per query.

    A share `deceptive` of the prompts is polarised: near certain on the easy tiers and below one half on the hard ones, so it
    leads at N = 1 and falls as N grows. The others are steady: a little above one half everywhere, and rise towards 1.
    """
    rng = np.random.default_rng([seed, 0xBE])
    tier = rng.permutation(np.arange(n_queries) % _N_TIERS)
    n_polarised = round(deceptive * n_prompts)
    accuracy = np.empty((n_prompts, _N_TIERS))
    easy = rng.uniform(0.88, 0.98, (n_polarised, 2))
    hard = rng.uniform(0.25, 0.47, (n_polarised, 2))
    accuracy[:n_polarised] = np.column_stack([easy, hard])
    level = rng.uniform(0.50, 0.64, n_prompts - n_polarised)
    accuracy[n_polarised:] = level[:, None] + np.linspace(0.05, -0.05, _N_TIERS) + rng.normal(0, 0.01, (len(level), _N_TIERS))
    accuracy = accuracy[rng.permutation(n_prompts)]
    right = np.clip(accuracy[:, tier] + rng.normal(0, 0.03, (n_prompts, n_queries)), 0.01, 0.99)  # (P, X)
    return TableEnvironment(
        f"synth-bernoulli-{seed}",
        np.stack([right, 1 - right], axis=-1),
        rng.uniform(0.005, 0.01, n_prompts),
        Contexts(tuple(f"cost weight {w:g}" for w in COST_WEIGHTS), np.ones((3, 1)), np.array(COST_WEIGHTS)),
        n_max,
        split_queries(n_queries, split_seed),
        gold=np.zeros(n_queries, dtype=np.int16),
        is_simulated=True,
    )


def synth_categorical(
    seed: int, *, n_prompts: int = 32, n_queries: int = 512, n_max: int = 32, deceptive: float = 0.5, split_seed: int = 0
) -> TableEnvironment:
    """Eight outcome vectors of two objectives in [0, 1] per prompt and query, with a prompt's own lean between them.

    A share `deceptive` of the prompts is steady: good on average, with a short tail. The others are worse on average and have
    rare outcomes that are much better, so they win when N is large. 27 contexts: nine weight pairs x three cost weights.
    """
    rng = np.random.default_rng([seed, 0xCA])
    n_outcomes = 8
    is_steady = rng.permutation(n_prompts) < round(deceptive * n_prompts)
    center = np.where(is_steady, rng.uniform(0.45, 0.62, n_prompts), rng.uniform(0.25, 0.45, n_prompts))
    spread = np.where(is_steady, rng.uniform(0.04, 0.09, n_prompts), rng.uniform(0.15, 0.28, n_prompts))
    lean = rng.uniform(-0.15, 0.15, n_prompts)
    difficulty = rng.normal(0, 0.08, n_queries)
    levels = np.linspace(-1.2, 2.2, n_outcomes)  # (S,), a long upper tail
    base = (center[:, None] + difficulty)[..., None] + spread[:, None, None] * levels  # (P, X, S)
    tilt = rng.normal(0, 0.06, base.shape) + lean[:, None, None]
    outcomes = np.clip(np.stack([base + tilt, base - tilt], axis=-1), 0, 1)
    probabilities = rng.dirichlet(3 * np.exp(-0.5 * (levels / 0.8) ** 2) + 0.05, (n_prompts, n_queries))
    pairs = [(w / 10, 1 - w / 10) for w in range(1, 10)]
    contexts = Contexts(
        tuple(f"{a:.1f} / {b:.1f}, cost weight {x:g}" for x in COST_WEIGHTS for a, b in pairs),
        np.array([pair for _ in COST_WEIGHTS for pair in pairs]),
        np.repeat(COST_WEIGHTS, len(pairs)),
    )
    cost: FloatArray = rng.uniform(0.005, 0.01, n_prompts)
    return TableEnvironment(
        f"synth-categorical-{seed}", probabilities, cost, contexts, n_max, split_queries(n_queries, split_seed),
        outcomes=outcomes, is_simulated=True,
    )  # fmt: skip
