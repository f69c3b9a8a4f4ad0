"""What is wrong with the objectives of a task that is being written: sentences for whoever writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from iapo_core.errors import ScorerError
from iapo_core.scorers import Judge, Scorer, make_scorer
from iapo_core.scorers.golds import gold_vote
from iapo_core.task import Objective
from iapo_core.task_file import problems

CHECKED = 50  # queries whose gold answers are looked at while somebody types; a run looks at all


def objective_problems(draft: Mapping[str, Any]) -> list[str]:
    """Return what keeps these objectives from being used, in the order of the draft; empty where nothing does.

    Args:
        draft: A task file's JSON, perhaps unfinished: only `objectives`, `strategy`, `origin` and `queries` are read.
    """
    found: list[str] = []
    made: list[tuple[Objective, Scorer]] = []
    rows = draft.get("objectives") or []
    for row, data in enumerate(rows, start=1):
        try:
            objective = Objective.model_validate(data)
            made.append((objective, make_scorer(objective)))
        except ValidationError as error:
            found += [f"Objective {row}: {line}" for line in problems(error)]
        except ScorerError as error:
            found.append(str(error))
    if not rows:
        found.append("There is no objective; add one, so that something can be better than something else.")
    names = [str(data.get("id")) for data in rows if isinstance(data, dict)]
    found += [f"Two objectives have the id {name!r}; give each its own." for name in sorted(set(names)) if names.count(name) > 1]
    if len(made) == len(rows) and made:
        found += _voting(draft, *made[0]) + _missing(draft, made)
    return found


def is_voting(scorer: Scorer) -> bool:
    """Return whether a scorer can read an answer to vote for."""
    return bool(getattr(scorer, "is_voting", True)) and not isinstance(scorer, Judge)


def _voting(draft: Mapping[str, Any], first: Objective, scorer: Scorer) -> list[str]:
    if draft.get("strategy") == "best_of_n":
        return []
    if not is_voting(scorer):
        return [
            f"Votes are on the first objective, and its scorer {first.scorer!r} reads no answer to vote for; put one first that does, "
            "or choose Best of N."
        ]
    for query in _queries(draft):
        gold = query.get("gold")
        if not isinstance(gold, str):
            return [
                f"Query {query.get('id')!r} has no single gold answer, which votes are judged by; add it, or choose Best of N."
            ]
        if gold_vote(scorer, gold) is None:
            return [
                f"The gold answer {gold[:60]!r} of query {query.get('id')!r} is none that the scorer {first.scorer!r} can read, so no "
                "vote could be right; correct it."
            ]
    return []


def _missing(draft: Mapping[str, Any], made: Sequence[tuple[Objective, Scorer]]) -> list[str]:
    found = []
    blank = next((query for query in _queries(draft) if not query.get("gold")), None)
    for objective, scorer in made:
        if isinstance(scorer, Judge) and draft.get("origin") in ("recorded", "simulated"):
            found.append(
                f"Objective {objective.id!r} asks a model for verdicts, and a recording stores none; make the task live, or choose "
                "another scorer."
            )
        if blank is not None and getattr(scorer, "needs_gold", False):
            found.append(
                f"Objective {objective.id!r} compares with the gold answer, which query {blank.get('id')!r} does not have: it would "
                "score 0 there. Add it, or choose a scorer that needs none."
            )
    return found


def _queries(draft: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [query for query in (draft.get("queries") or [])[:CHECKED] if isinstance(query, dict)]
