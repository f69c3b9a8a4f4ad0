"""Errors named for the situation; every message says what, where, why and what to do."""


class IapoError(Exception):
    """Base of every error that this package raises on purpose."""


class TaskError(IapoError):
    """A task, or a file that holds one, cannot be used as it is."""


class ReadingError(IapoError):
    """A file or a pasted text cannot be read as what it is meant to be."""


class TableError(IapoError):
    """A count table (.npz) is malformed."""


class RecordingError(IapoError):
    """Stored completions do not fit the task that they are meant for."""


class ScorerError(IapoError):
    """A scorer is unknown or was configured wrongly."""


class BudgetError(IapoError):
    """The budget is not a whole number of completions that can buy anything."""


class ContextError(IapoError):
    """A context is unknown, or its weights cannot be used."""


class AlgorithmError(IapoError):
    """An algorithm is unknown, or an option does not fit it."""


class PolicyError(IapoError):
    """A policy file cannot be read, or was asked for what it does not hold."""


class PickleError(IapoError):
    """A pickled environment holds something other than arrays and plain containers."""


class StoreError(IapoError):
    """The run database refuses or cannot be used."""


class RunError(IapoError):
    """A run is unknown, or not in a state that allows what was asked."""


class BenchError(IapoError):
    """A bench cannot be made as asked, or its results cannot be used."""


class LocalModelError(IapoError):
    """The local model cannot be fetched or does not start."""


class LiveError(IapoError):
    """A model cannot be called as asked; what was paid for is kept."""


class BudgetGoneError(LiveError):
    """The cap in completions or in dollars allows no further call."""


class InterruptedPullError(LiveError):
    """Buying was interrupted on request; what came is stored, and a repeated pull buys the rest."""
