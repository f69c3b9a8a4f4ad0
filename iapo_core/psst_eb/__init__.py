"""PSST-EB and what it believes of votes and tails; see `algorithm` for the whole of it."""

from iapo_core.psst_eb.algorithm import psst_eb

__all__ = ["psst_eb"]
