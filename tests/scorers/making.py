"""Scorers and queries for the tests, made by the door that tasks use."""

from iapo_core.scorers import make_scorer
from iapo_core.task import Objective, Query


def scorer(name, **params):
    return make_scorer(Objective(id="o", scorer=name, params=params))


def query(gold=None, **fields):
    return Query(id="q", fields=fields or {"q": "?"}, gold=gold)
