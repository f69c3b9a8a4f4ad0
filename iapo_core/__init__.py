"""IAPO: choose the prompt and the inference scale of a black-box LLM jointly, per preference, within a budget.

Symbols, everywhere in the code (Mahmud et al., AAAI-26):

    P  candidates (prompt x decoding config)     p  one of them
    X  queries                                   x  one of them
    N  n_max, the largest inference scale        k, n  a scale: completions per query
    K  objectives                                W  distinct objective weights among the contexts
    C  contexts (preferences)                    c  one of them
    A  arms = P x N                              a  one of them, (p, k)
    T  budget in completions                     R  rounds
    S  answers, outcomes or stored completions per (candidate, query)
"""

from iapo_core.arms import Arm, Contexts, Grid
from iapo_core.environments import load_environment
from iapo_core.errors import IapoError
from iapo_core.optimize import Run, optimize
from iapo_core.policy import Policy
from iapo_core.task import Task
from iapo_core.task_file import read_task

__all__ = ["Arm", "Contexts", "Grid", "IapoError", "Policy", "Run", "Task", "load_environment", "optimize", "read_task"]
