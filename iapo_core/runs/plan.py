"""What a run will spend, said before it starts: exact for the first round, the worst case for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import text

from iapo_core.arms import FloatArray, IntArray
from iapo_core.environments.endpoints import endpoint_of
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.prices import Price
from iapo_core.events import Planned
from iapo_core.policy import candidate_name
from iapo_core.runs.store import Store
from iapo_core.scorers import Judge, make_scorer
from iapo_core.task import Task

ASSUMED_SHARE = 0.5  # of the longest answer, where no answer of the model is known
_BYTES_A_TOKEN = 4.0
_SAMPLED = 50  # queries that stand for all in the estimate of prompt lengths


@dataclass(frozen=True, eq=False)
class Dollars:
    """What one completion of each candidate costs, with the verdicts that judges give of it.

    Attributes:
        expected: From answers of the same model and prompt where `is_measured`, else assumed; nan for unknown prices, shape (P,).
        worst: The most that one can cost: every prompt token a byte, every answer at its limit; nan likewise, shape (P,).
        is_measured: Whether answers are known, shape (P,).
        sources: Who says the prices.
        unknown: Models whose price nobody says.
        n_judges: Verdicts that each completion needs.
    """

    expected: FloatArray
    worst: FloatArray
    is_measured: FloatArray
    sources: tuple[str, ...]
    unknown: tuple[str, ...]
    n_judges: int = 0


@dataclass(frozen=True, eq=False)
class SpendPlan:
    """The plan of one run.

    Attributes:
        first: The first round as the algorithm planned it.
        budget: T, a hard cap in completions, held-out check included.
        n_aside: Of these, set aside for the held-out check.
        allowance: R, completions beyond T that may replace lost ones.
        max_usd: The hard cap in dollars, None where there is none.
        dollars: What completions cost; None where nothing is bought.
        mean_costs: Of a stored completion in the task's unit, where nothing is bought, shape (P,).
    """

    first: Planned
    budget: int
    n_aside: int = 0
    allowance: int = 0
    max_usd: float | None = None
    dollars: Dollars | None = None
    mean_costs: FloatArray | None = None

    @property
    def n_first(self) -> IntArray:
        """Completions of each candidate in the first round, shape (P,)."""
        return np.asarray(self.first.sizes * self.first.repeats)

    @property
    def n_later(self) -> int:
        """What is left for the later rounds and the held-out check."""
        return self.budget - self.first.n_completions

    @property
    def n_most(self) -> int:
        """No more than this can ever be billed."""
        return self.budget + self.allowance

    @property
    def most(self) -> IntArray:
        """The most completions of each candidate, if all that is left went to it, shape (P,)."""
        return np.asarray(self.n_first + self.n_later + self.allowance)

    @property
    def can_keep_caps(self) -> bool:
        """False where a dollar cap has no price to count by."""
        return self.max_usd is None or self.dollars is None or not self.dollars.unknown

    @property
    def expected_cost(self) -> float:
        """Cost to expect in the task's unit: the first round as planned, the rest at the candidates' mean; nan where unknown."""
        if self.mean_costs is None:
            return float("nan")
        return float(self.n_first @ self.mean_costs + self.n_later * self.mean_costs.mean())

    @property
    def expected_usd(self) -> float:
        """Dollars to expect for the whole budget: the first round as planned, the rest at the candidates' mean."""
        if self.dollars is None:
            return 0.0
        usd = float(self.n_first @ self.dollars.expected + self.n_later * self.dollars.expected.mean())
        return usd if self.max_usd is None else min(usd, self.max_usd)

    @property
    def worst_usd(self) -> float:
        """Dollars that cannot be passed: the first round at its worst, the rest and the allowance at the dearest candidate's."""
        if self.dollars is None:
            return 0.0
        usd = float(self.n_first @ self.dollars.worst + (self.n_later + self.allowance) * self.dollars.worst.max())
        return usd if self.max_usd is None else min(usd, self.max_usd)


def dollars_of(store: Store, task: Task, settings: LiveSettings) -> Dollars:
    """Return what completions of a live task cost, as far as that is known before they are bought."""
    expected, worst, measured = [], [], []
    sources, unknown = set(), set()
    known = _known_tokens(store, task)
    judges = [scorer for scorer in map(make_scorer, task.objectives) if isinstance(scorer, Judge)]
    prices = {d.model: endpoint_of(d, settings).price for d in (*(d for _, d in task.candidates), *(j.decoding for j in judges))}
    for model, price in prices.items():
        if price.is_known:
            sources.add(price.source)
        else:
            unknown.add(model)
    for prompt, decoding in task.candidates:
        price = endpoint_of(decoding, settings).price
        asked = [decoding.messages(prompt, query.fields) for query in task.queries]
        name = (decoding.model, prompt.id)
        sampled = [sum(len(m["content"].encode()) for m in messages) for messages in asked[:_SAMPLED]]
        guess = (float(np.mean(sampled)) / _BYTES_A_TOKEN, ASSUMED_SHARE * decoding.max_tokens)
        n_prompt, n_completion = known.get(name, guess)
        per_prompt, per_completion = price.usd_per_prompt_token, price.usd_per_completion_token
        usd = per_prompt * n_prompt + per_completion * n_completion
        most = max(price.worst_usd(messages, decoding.max_tokens) for messages in asked) if price.is_known else np.nan
        for judge in judges:
            of_judge = endpoint_of(judge.decoding, settings).price
            usd += _verdict_usd(judge, of_judge, task, int(_BYTES_A_TOKEN * n_completion), ASSUMED_SHARE)
            most += _verdict_usd(judge, of_judge, task, int(_BYTES_A_TOKEN * decoding.max_tokens), None)
        expected.append(usd)
        worst.append(most)
        measured.append(name in known)
    return Dollars(
        np.array(expected), np.array(worst), np.array(measured), tuple(sorted(sources)), tuple(sorted(unknown)), len(judges)
    )


def _verdict_usd(judge: Judge, price: Price, task: Task, n_bytes: int, share: float | None) -> float:
    """Return what a judge's verdict on a completion of so many bytes costs: at most, or with a share of its longest reply."""
    if not price.is_known:
        return float("nan")
    asked = [judge.messages("x" * n_bytes, query) for query in (task.queries if share is None else task.queries[:_SAMPLED])]
    if share is None:
        return max(price.worst_usd(messages, judge.decoding.max_tokens) for messages in asked)
    n_prompt = float(np.mean([sum(len(m["content"].encode()) for m in messages) for messages in asked])) / _BYTES_A_TOKEN
    return price.usd_per_prompt_token * n_prompt + price.usd_per_completion_token * share * judge.decoding.max_tokens


def names(task: Task) -> list[str]:
    """Return the candidates' names in the order of the plan."""
    return [candidate_name(prompt, decoding, task) for prompt, decoding in task.candidates]


def _known_tokens(store: Store, task: Task) -> dict[tuple[str, str], tuple[float, float]]:
    """Return mean tokens in and out of counted answers, by model and prompt; prompts of other tasks may share a name."""
    with store._read() as connection:
        rows = connection.execute(
            text(
                "SELECT completions.model AS model, completions.prompt AS prompt, AVG(completions.prompt_tokens) AS tokens_in, "
                "AVG(completions.completion_tokens) AS tokens_out FROM completions JOIN runs ON runs.id = completions.run_id "
                "WHERE completions.kind = 'completion' AND completions.state = 'settled' AND completions.is_counted = 1 "
                "AND runs.config LIKE :task "
                "GROUP BY completions.model, completions.prompt"
            ),
            {"task": f'%"task":"{task.id}"%'},
        ).all()
    return {(str(row.model), str(row.prompt)): (float(row.tokens_in), float(row.tokens_out)) for row in rows}
