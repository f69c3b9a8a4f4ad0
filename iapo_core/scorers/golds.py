"""The right answers of a task, spelled as its completions vote."""

from __future__ import annotations

from iapo_core.errors import TaskError
from iapo_core.scorers import Scorer
from iapo_core.task import Task


def gold_votes(task: Task, scorer: Scorer) -> list[str]:
    """Return each query's gold answer as a completion that gives it votes; equal answers are equal texts.

    Raises:
        TaskError: If a query has no single gold answer, or one that no completion can give by this scorer.
    """
    spelled = []
    for query in task.queries:
        if not isinstance(query.gold, str):
            raise TaskError(
                f"Task {task.id!r}: query {query.id!r} has no gold answer, which a majority vote is judged by; add it."
            )
        vote = gold_vote(scorer, query.gold)
        if vote is None:
            raise TaskError(
                f"Task {task.id!r}: the gold answer {query.gold[:60]!r} of query {query.id!r} is none that the scorer "
                f"{task.objectives[0].scorer!r} can read, so no vote could be right; correct it or choose another scorer."
            )
        spelled.append(vote.casefold())
    return spelled


def gold_vote(scorer: Scorer, gold: str) -> str | None:
    """Return a gold answer in the spelling that completions vote in; None where no completion can give it."""
    canonical = getattr(scorer, "canonical", None)
    return gold if canonical is None else canonical(gold)
