"""Setting a run up: budget, scales, algorithm, contexts, and exactly what will be bought before anything is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic import ValidationError

from iapo_core.environment import Environment
from iapo_core.environments.live import LiveSettings
from iapo_core.errors import IapoError, LiveError
from iapo_core.events import Planned
from iapo_core.optimize import start
from iapo_core.runs import catalogue
from iapo_core.runs.catalogue import TaskEntry
from iapo_core.runs.config import RunConfig
from iapo_core.runs.plan import SpendPlan
from iapo_core.task import Context
from pages.shell import buying, contexts, keys, knobs, local, plan, session, tasks, words


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    entry: TaskEntry
    budget: int
    n_max: int
    algorithm: str
    options: dict[str, Any]
    seed: int
    contexts: tuple[Context, ...]
    pace_s: float
    live: LiveSettings | None = None

    def config(self) -> RunConfig:
        """Return the run that these settings ask for."""
        return RunConfig(
            task=self.entry.id,
            task_fingerprint=catalogue.task_fingerprint(self.entry.id),
            budget=self.budget,
            algorithm=self.algorithm,
            options=self.options,
            seed=self.seed,
            n_max=self.n_max,
            contexts=self.contexts,
            pace_s=self.pace_s,
            live=self.live,
        )


def draw() -> None:
    """Draw the form, the spend plan and the start button."""
    entry = tasks.choose()
    environment = tasks.planned(entry)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Budget and algorithm", anchor=False)
        budget = knobs.budget()
        n_max = knobs.n_max(environment, entry.id)
        algorithm, options = knobs.algorithm(environment, budget, n_max)
        is_live = entry.origin == "live"
        pace_s = 0.0 if is_live else knobs.pace(entry)
        seed = knobs.seed()
        live = _buying(environment) if is_live else None
    with right:
        st.subheader("Contexts: the preferences to serve", anchor=False)
        st.caption("Every completion is scored for all contexts at once, so more contexts cost nothing extra.")
        try:
            chosen = contexts.choose(environment, entry.id)
        except ValidationError as error:
            st.error(
                "A context cannot be used: " + words.escape(error.errors(include_url=False)[0]["msg"]), icon=":material/error:"
            )
            chosen = ()
        if budget is None:
            return
        settings = Settings(entry, budget, n_max, algorithm, options, seed, chosen, pace_s, live)
        spend = _plan(settings, environment) if live is not None or not is_live else None
        _start(settings, environment, is_ready=spend is not None and spend.can_keep_caps)


def _buying(environment: Environment) -> LiveSettings | None:
    """Draw how completions are bought, the keys for that, and the local model where the task calls it."""
    live, task = buying.settings(), tasks.described(environment)
    if live is not None and task is not None:
        try:
            keys.ask(task, live)
        except IapoError as error:
            session.explain(error, "The keys that this task needs are not known.")
            return None
        if local.is_used(task):
            local.panel()
    return live


def another(config: Any = None) -> None:
    """Leave the current run and set up a new one; from a run's settings where given."""
    session.close_run()
    if config is None:
        return
    tasks.want(config.task)
    st.session_state["budget"] = config.budget
    st.session_state["budget-slider"] = knobs.on_slider(config.budget)
    st.session_state[f"n_max:{config.task}"] = config.n_max
    st.session_state["algorithm"] = config.algorithm
    if "k" in config.options:
        st.session_state["k"] = config.options["k"]
    st.session_state["seed"] = config.seed
    st.session_state["pace"] = "watch" if config.pace_s else "once"
    if config.live is not None:
        buying.prefill(config.live)
    contexts.prefill(config.task, config.contexts, tuple(config.contexts[0].weights))


def _plan(settings: Settings, environment: Environment) -> SpendPlan | None:
    """Say what the run will buy; the same check that the run makes says what is wrong."""
    if not settings.contexts:
        st.warning("Tick at least one context, so that the run has a preference to serve.", icon=":material/info:")
        return None
    try:
        first = next(start(environment, **settings.config().arguments(environment)))
    except IapoError as error:
        session.explain(error, "These settings cannot run.")
        return None
    if not isinstance(first, Planned):
        raise TypeError(f"The first event of a run is its plan, not {type(first).__name__}.")
    spend = _spend(settings, environment, first)
    plan.draw(spend, environment)
    plan.warn_of_check(settings.config(), environment)
    return spend


def _spend(settings: Settings, environment: Environment, first: Planned) -> SpendPlan:
    """Add caps and prices to what the algorithm has planned."""
    live, task = settings.live, tasks.described(environment)
    if live is None or task is None:
        return SpendPlan(first, settings.budget, mean_costs=environment.mean_costs())
    return SpendPlan(
        first,
        settings.budget,
        settings.config().heldout_budget,
        live.lost_allowance,
        live.max_usd,
        plan.dollars(task, live),
    )


def _start(settings: Settings, environment: Environment, *, is_ready: bool) -> None:
    """Start the run; however often the button is pressed, one form makes one run."""
    st.session_state.setdefault(session.NONCE, uuid.uuid4().hex)
    if (
        st.button(
            "Start the run",
            type="primary",
            icon=":material/play_arrow:",
            key="start",
            disabled=not is_ready,
            help="The run goes on in its own process; you may close this page.",
        )
        and is_ready
    ):
        task, live = tasks.described(environment), settings.live
        try:
            if task is not None and live is not None and (lacking := keys.missing(task, live)):
                raise LiveError(f"The key for {', '.join(lacking)} is missing: paste it into its field, or set the variable.")
            held = keys.held(task, live) if task is not None and live is not None else {}
            run_id = session.start(settings.config(), st.session_state[session.NONCE], held)
        except IapoError as error:
            session.explain(error, "The run could not be started.")
        else:
            session.open_run(run_id)
            st.rerun()
