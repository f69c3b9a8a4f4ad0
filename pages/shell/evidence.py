"""What is known of a run, computed once per run and round and shared by all tabs; nothing here buys a completion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import streamlit as st

from iapo_core.arms import Arm, Contexts, FloatArray, Grid, IntArray
from iapo_core.environment import Environment, default_grid
from iapo_core.errors import IapoError
from iapo_core.evaluate import Scores, Verdict, judge, score_queries, score_run
from iapo_core.events import Event
from iapo_core.observations import Observations, observe
from iapo_core.optimize import policy_so_far
from iapo_core.outputs.history import History
from iapo_core.policy import Policy
from iapo_core.resampling import Stability, pick_stability, wary
from iapo_core.reweigh import contenders
from iapo_core.runs.config import RunConfig, weighed
from iapo_core.runs.evidence import evidence_environment
from iapo_core.runs.heldout import why_unchecked
from iapo_core.runs.store import RunRow
from iapo_core.task import Task
from pages.shell import session, tasks, words


@dataclass(frozen=True, eq=False)
class Evidence:
    """A run as it stood after some of its events."""

    run_id: str
    config: RunConfig
    environment: Environment
    events: tuple[Event, ...]
    policy_stored: Policy | None

    @cached_property
    def contexts(self) -> Contexts:
        """The run's preferences as arrays."""
        return weighed(self.config.contexts, self.environment)

    @cached_property
    def grid(self) -> Grid:
        """The run's arms."""
        return default_grid(self.environment, n_max=self.config.n_max, contexts=self.contexts)

    @cached_property
    def history(self) -> History:
        """The run round by round, as the figures draw it."""
        return History.from_events(self.grid, self.events)

    @cached_property
    def policy(self) -> Policy:
        """The policy of a finished run, or the best that a stopped one knows of.

        Raises:
            PolicyError: If nothing was estimated yet.
        """
        return self.policy_stored or policy_so_far(self.grid, self.environment, self.events)

    @cached_property
    def observations(self) -> Observations:
        """What the run drew."""
        return observe(self.environment, n_events=len(self.events), **self.config.arguments(self.environment))

    @cached_property
    def picks(self) -> list[Arm]:
        """The run's own arm per context."""
        return [Arm(c.candidate, c.n) for c in self.policy.choices]

    @cached_property
    def stability(self) -> tuple[Stability, ...]:
        """How often each context's pick comes out again when the run's queries are resampled.

        Raises:
            RunError: If nothing was drawn.
        """
        return pick_stability(self.observations, self.contexts, self.picks, self.config.n_max)

    @property
    def unchecked(self) -> str | None:
        """Why a finished live run has checked none of its picks on held-out queries, None where it has."""
        if self.config.live is None or self.policy_stored is None:
            return None
        left = max(self.config.budget - self.history.spent, 0)
        return why_unchecked(self.policy_stored, left, self.config.live.heldout_share, len(self.environment.split.heldout))

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The run's own picks against the rivals that it kept longest, judged on the queries kept aside."""
        rivals = [self._rival(c, pick.candidate) for c, pick in enumerate(self.picks)]
        verdicts = self._judge(self.contexts, self.picks, rivals)
        return tuple(self._as_checked(verdict, c) for c, verdict in enumerate(verdicts))

    def judged(self, contexts: Contexts) -> tuple[Verdict, ...]:
        """Pick for any weights by what the run drew, and judge on the queries kept aside.

        Raises:
            RunError: If nothing was drawn.
        """
        found = contenders(self.observations, contexts, self.config.n_max)
        verdicts = self._judge(contexts, [f.pick for f in found], [f.runner_up for f in found])
        # At the run's own weights its own decision stands, also where arms tie and lots were drawn.
        return tuple(
            verdict if same is None else replace(self.verdicts[same], context=verdict.context)
            for verdict, same in zip(verdicts, self.own(contexts), strict=True)
        )

    def _judge(self, contexts: Contexts, picks: list[Arm], rivals: list[Arm | None]) -> tuple[Verdict, ...]:
        """Judge on the queries kept aside; what a live run has not drawn there is judged by what it drew."""
        aside = self.heldout(contexts)
        if not np.isnan(aside.q).any():
            return judge(aside, picks, rivals)
        drawn = wary(judge(self.drawn(contexts), picks, rivals), self.observations, contexts, self.config.n_max)
        if np.isnan(aside.q).all():
            return drawn
        return tuple(of.completed(by) for of, by in zip(judge(aside, picks, rivals), drawn, strict=True))

    def _as_checked(self, verdict: Verdict, context: int) -> Verdict:
        """Let the estimate stand that a live run has made of its own pick, and stored."""
        known = self.policy.choices[context].estimate
        if known is None or verdict.source != "heldout":
            return verdict
        return replace(verdict, value=known.value, low=known.low, high=known.high, n_queries=known.n_queries)

    def n_drawn(self, arm: Arm, source: str) -> int:
        """Return how many completions of its prompt stand behind an arm's estimate; 0 where its distribution is known."""
        candidate = self.environment.candidates.index(arm.candidate)
        if source == "train":
            return sum(int(pulls.sizes[pulls.candidates == candidate].sum()) for pulls, _ in self.observations.batches)
        texts = getattr(self.environment, "texts", None)
        return 0 if texts is None else sum(len(texts(candidate, int(query))) for query in self.environment.split.heldout)

    @cached_property
    def _n_queries(self) -> IntArray:
        """How many queries the run drew each arm on, shape (P, N)."""
        return self.observations.estimates(self.contexts, self.config.n_max).n_queries()

    def most_drawn(self, candidate: str) -> int:
        """Return the largest number of completions per query that the run drew of a prompt, 0 where it drew none."""
        scales = np.flatnonzero(self._n_queries[self.environment.candidates.index(candidate)])
        return int(scales[-1]) + 1 if len(scales) else 0

    def modelled(self, pick: Arm, context: int) -> tuple[float, float] | None:
        """Return what the run itself estimated of an arm in its own context, with half of the 95 % interval, None without one."""
        arm = self.environment.candidates.index(pick.candidate), pick.n - 1
        value, half = float(self.history.q(context)[arm]), float(self.history.half_width(context)[arm])
        return None if np.isnan(value) or np.isnan(half) else (value, half)

    def _rival(self, context: int, candidate: str) -> Arm | None:
        """Return the arm of another candidate that the run trimmed last, the higher estimate first."""
        left = self.history.left_round[context].ravel()
        stayed = np.where(left == 0, self.history.n_rounds + 1, left)
        value = np.nan_to_num(self.history.q(context).ravel(), nan=-np.inf)
        arms = (self.grid.arm(*divmod(int(a), self.grid.n_max)) for a in np.lexsort((-value, -stayed)))
        return next((Arm(arm.candidate, arm.n + 1) for arm in arms if arm.candidate != candidate), None)

    def own(self, contexts: Contexts) -> list[int | None]:
        """Return which of the run's contexts has the weights of each of these, None where none has."""
        own = np.hstack([self.contexts.weights, self.contexts.cost_weights[:, None]])
        same = [
            np.flatnonzero(np.isclose(own, weights).all(axis=1))
            for weights in np.hstack([contexts.weights, contexts.cost_weights[:, None]])
        ]
        return [int(rows[0]) if len(rows) else None for rows in same]

    def heldout(self, contexts: Contexts) -> Scores:
        """Score every arm on the queries kept aside."""
        return score_queries(self.environment, self.environment.split.heldout, contexts, self.config.n_max)

    def q(self, contexts: Contexts, source: str) -> FloatArray:
        """Return the utility of every arm for many contexts at once, without intervals, shape (C, P, N)."""
        if source == "heldout":
            return self.environment.q_values(self.environment.split.heldout, contexts)[..., : self.config.n_max]
        return self.observations.estimates(contexts, self.config.n_max).q()

    def drawn(self, contexts: Contexts) -> Scores:
        """Score what the run drew, for any weights."""
        return score_run(self.observations, contexts, self.config.n_max)

    @property
    def task(self) -> Task | None:
        """The task with its texts, where there is one."""
        return tasks.described(self.environment)

    @property
    def unit(self) -> str:
        """What cost is counted in."""
        return words.unit(self.task)

    @cached_property
    def titles(self) -> dict[str, str]:
        """A title per candidate."""
        task = self.task
        if task is None or len(task.decoding) > 1:
            return {name: name for name in self.environment.candidates}
        return {p.id: p.title or p.id for p in task.prompts}

    @cached_property
    def context_titles(self) -> dict[str, str]:
        """A title per context of the run."""
        known = {c.id: c.title or c.id for c in self.task.contexts} if self.task else {}
        return {c.id: c.title or known.get(c.id, c.id) for c in self.config.contexts}

    @cached_property
    def objective_titles(self) -> dict[str, str]:
        """A title per objective."""
        return words.objective_titles(self.environment.objectives, self.task)


def of(run: RunRow) -> Evidence:
    """Return the evidence of a run; where its task cannot be opened, the page says why and ends."""
    stored = session.store().events(run.id)
    last = stored[-1][0] if stored else 0
    try:
        return _cached(session.address(), run.id, last, run.state, run.policy is not None, run, tuple(e for _, e in stored))
    except IapoError as error:
        session.explain(error, "What this run drew cannot be opened.")
        st.stop()


@st.cache_resource(max_entries=24, show_spinner=False)
def _cached(
    address: str, run_id: str, last: int, state: str, is_final: bool, _run: RunRow, _events: tuple[Event, ...]
) -> Evidence:
    return Evidence(run_id, _run.config, evidence_environment(session.store(), _run, _events), _events, _run.policy)
