"""Environments of a bench, by their spelling: `synth-bernoulli:SEED:deceptive=0.5`, a table, or a recorded task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.environment import Environment, split_order
from iapo_core.environments import RecordedEnvironment, TableEnvironment, load_environment
from iapo_core.environments.synthetic import Simulation, simulate
from iapo_core.errors import BenchError
from iapo_core.evaluate import Scores, score_queries
from iapo_core.task_file import read_task

Known = TableEnvironment | RecordedEnvironment
_GENERATORS: dict[str, Literal["bernoulli", "categorical"]] = {
    "synth-bernoulli": "bernoulli",
    "synth-categorical": "categorical",
}
_OPTIONS = {"deceptive": float, "prompts": int, "queries": int, "n_max": int, "population": int}
_SPELLING = "synth-bernoulli:SEED or synth-categorical:SEED, with :deceptive=0.5,prompts=32,queries=520,n_max=32,population=5200"
_BLOCK = 256  # queries whose curves are in memory at once
_MOST_BYTES = 128 * 1024 * 1024  # of curves that are remembered


@dataclass(frozen=True)
class Arena:
    """One environment of a bench; small, so that it travels to workers, which open it by themselves.

    Attributes:
        name: As tables show it.
        path: Where a table or task lies on the machine that was asked; empty for a simulation.
        digest: SHA-256 of its files, or of the recipe.
        generator: Which simulation, empty for files.
        seed: Of the simulation's distributions.
        options: What was spelled after the seed, sorted.
    """

    name: str
    path: str
    digest: str
    generator: str = ""
    seed: int = 0
    options: tuple[tuple[str, int | float], ...] = ()


def arena(text: str, path: Path | None = None) -> Arena:
    """Read one spelling; nothing is simulated or drawn yet.

    Args:
        text: The spelling, and the name in tables.
        path: Where the table or task lies, if the text is not that path itself.

    Raises:
        BenchError: If it cannot be understood, or is a task that buys its completions.
        IapoError: If the file is malformed.
    """
    kind, _, rest = text.partition(":")
    if kind in _GENERATORS:
        return _simulated(text, kind, rest)
    place = (path or Path(text)).absolute()
    if not place.exists():
        raise BenchError(f"There is no environment {text!r}; give a .npz table, a task folder, or {_SPELLING}.")
    folder = place if place.is_dir() else place.parent
    if place.suffix != ".npz" and (folder / "task.json").is_file() and read_task(folder / "task.json").origin == "live":
        raise BenchError(f"{text!r} buys its completions from a model; a bench takes recorded, counted or simulated ones.")
    load_environment(place)
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in _files(place))).hexdigest()
    return Arena(place.stem if place.suffix == ".npz" else folder.name, str(place), digest)


def _files(place: Path) -> list[Path]:
    """Return what a table or a task consists of."""
    if place.suffix == ".npz":
        return [place]
    folder = place if place.is_dir() else place.parent
    return sorted(p for p in folder.iterdir() if p.suffix in (".json", ".parquet"))


def content(made: Arena) -> dict[str, bytes]:
    """Return the files of an arena by name, for a machine that does not have them."""
    return {file.name: file.read_bytes() for file in _files(Path(made.path))}


_DELIVERED: dict[str, list[Path]] = {}  # digest -> where its files were put in this process, the newest last


def deliver(made: Arena, files: dict[str, bytes], folder: Path) -> None:
    """Write an arena's files into a folder, and open it from there from now on."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    place = Path(made.path)
    _DELIVERED.setdefault(made.digest, []).append(folder / place.name if place.name in files else folder)


def retract(made: Arena, folder: Path) -> None:
    """Forget a folder that `deliver` filled."""
    _DELIVERED[made.digest] = [place for place in _DELIVERED[made.digest] if folder not in (place, place.parent)]


def _simulated(text: str, kind: str, rest: str) -> Arena:
    number, _, spelled = rest.partition(":")
    if not number.isdecimal():
        raise BenchError(f"{text!r} needs a seed, a whole number of at least 0; spell it {_SPELLING}.")
    options: dict[str, int | float] = {}
    for part in filter(None, spelled.split(",")):
        key, _, value = part.partition("=")
        if key not in _OPTIONS:
            raise BenchError(f"{text!r}: there is no option {key!r}; there are {', '.join(_OPTIONS)}.")
        try:
            options[key] = _OPTIONS[key](value)
        except ValueError:
            raise BenchError(f"{text!r}: {key} is a {'whole ' * (_OPTIONS[key] is int)}number, not {value!r}.") from None
    made = Arena(text, "", hashlib.sha256(text.encode()).hexdigest(), kind, int(number), tuple(sorted(options.items())))
    _recipe(made)
    return made


def _recipe(made: Arena) -> Simulation:
    """Return the recipe with its checks; a population is generated whole and every run sees a sample of it."""
    options = dict(made.options)
    n_queries = _n_queries(made)
    population = options.get("population", n_queries)
    try:
        if population < n_queries:
            raise ValueError(f"a population of {population} has no sample of {n_queries} queries")
        return Simulation.model_validate(
            {
                "schema": 1,
                "id": made.generator,
                "title": made.name,
                "description": made.name,
                "generator": _GENERATORS[made.generator],
                "n_prompts": options.get("prompts", 32),
                "n_queries": population,
                "n_max": options.get("n_max", 32),
                "deceptive": options.get("deceptive", 0.5),
                "seed": made.seed,
            }
        )
    except ValueError as error:
        errors = error.errors(include_url=False) if hasattr(error, "errors") else []
        why = f"{errors[0]['loc'][0]}: {errors[0]['msg']}" if errors else str(error)
        raise BenchError(f"{made.name!r} cannot be simulated: {why}; correct it.") from error


def _n_queries(made: Arena) -> int:
    return int(dict(made.options).get("queries", 520 if made.generator == "synth-bernoulli" else 512))


@lru_cache(maxsize=4)
def opened(made: Arena) -> Known:
    """Open an arena once per process."""
    if made.generator:
        return simulate(_recipe(made), seed=0)
    return load_environment((_DELIVERED.get(made.digest) or [Path(made.path)])[-1])


@dataclass(frozen=True, eq=False)
class Bout:
    """One reshuffle of an arena's queries, with what is known of it.

    Attributes:
        environment: With this reshuffle's split.
        q_train: Q on its training queries, shape (C, P, N).
        heldout: Every arm scored on its held-out queries, as the decision card is.
        truth: Q on all queries of the arena, which the training and held-out ones are a sample of, shape (C, P, N).
        truth_reward: The same before cost, shape (W, P, N).
    """

    environment: Known
    q_train: FloatArray
    heldout: Scores
    truth: FloatArray
    truth_reward: FloatArray

    @property
    def q_heldout(self) -> FloatArray:
        """Q on the held-out queries, shape (C, P, N)."""
        return self.heldout.q

    @property
    def limit(self) -> float:
        """ACR of the policy that is best on the training queries: what an unlimited budget would find."""
        flat = self.q_train.reshape(len(self.q_train), -1).argmax(axis=1)
        return float(self.q_heldout.reshape(len(flat), -1)[np.arange(len(flat)), flat].mean())

    @property
    def oracle(self) -> float:
        """ACR of the policy that is best on the held-out queries: no policy has a higher one."""
        return float(self.q_heldout.reshape(len(self.q_heldout), -1).max(axis=1).mean())


@lru_cache(maxsize=2)
def bout(made: Arena, split_seed: int) -> Bout:
    """Reshuffle an arena; equal seeds give equal bouts on any machine."""
    environment = opened(made).reshuffled(split_seed)
    if made.generator:
        order = np.random.default_rng([split_seed, 0x5A3E]).permutation(environment.n_queries)
        environment.split = split_order(order[: _n_queries(made)])  # a sample of the population
    known = _remembered(made)
    heldout = score_queries(cast(Environment, known), environment.split.heldout, environment.contexts)
    truth = _truth(made)
    return Bout(
        environment=environment,
        q_train=environment.net_of_cost(_mean_curves(known, environment.split.train), environment.contexts),
        heldout=heldout,
        truth=environment.net_of_cost(truth, environment.contexts),
        truth_reward=truth,
    )


@lru_cache(maxsize=4)
def _truth(made: Arena) -> FloatArray:
    return _mean_curves(_remembered(made), np.arange(opened(made).n_queries))


class _Remembering:
    """An environment that computes the curves of all its queries once per weights; reshuffles then only look them up."""

    def __init__(self, environment: Known) -> None:
        self._environment = environment
        self._curves: dict[bytes, FloatArray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        environment, key = self._environment, weights.tobytes()
        if key not in self._curves:
            if 8 * len(weights) * len(environment.candidates) * environment.n_queries * environment.n_max > _MOST_BYTES:
                return environment.reward_curves(queries, weights)
            everyone = np.arange(environment.n_queries)
            blocks = [everyone[start : start + _BLOCK] for start in range(0, len(everyone), _BLOCK)]
            self._curves[key] = np.concatenate([environment.reward_curves(block, weights) for block in blocks], axis=2)
        return self._curves[key][:, :, queries]


@lru_cache(maxsize=2)
def _remembered(made: Arena) -> _Remembering:
    return _Remembering(opened(made))


def _mean_curves(environment: _Remembering, queries: IntArray) -> FloatArray:
    """Mean reward over many queries without holding all of them, shape (W, P, N)."""
    distinct = environment.contexts.distinct
    sums = [
        environment.reward_curves(queries[start : start + _BLOCK], distinct).sum(axis=2)
        for start in range(0, len(queries), _BLOCK)
    ]
    mean: FloatArray = np.sum(sums, axis=0) / len(queries)
    return mean
