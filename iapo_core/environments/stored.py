"""A live run's completions, read again: what the run drew is served once more, nothing is called."""

from __future__ import annotations

from iapo_core.environment import Outcomes, Pulls
from iapo_core.environments.judged import JudgedTask
from iapo_core.errors import LiveError


class StoredEnvironment(JudgedTask):
    """Serves the stored completions of a live task, sample by sample, as the run that bought them took them."""

    def pull(self, pulls: Pulls) -> Outcomes:
        """Serve the next draws of each cell.

        Raises:
            LiveError: If one is not stored: the run had not come so far.
        """
        wanted = self._wanted(pulls)
        stored = self._store.load(sorted({one.key.cell for row in wanted for one in row}))
        if missing := next((one for row in wanted for one in row if one.key not in stored), None):
            raise LiveError(
                f"Completion {missing.key.sample + 1} of prompt {missing.prompt!r} on query {missing.query!r} is not stored; "
                "resume the run to buy it."
            )
        n_reused = sum(stored[one.key].is_reused for row in wanted for one in row)
        return self._outcomes(pulls, [[stored[one.key] for one in row] for row in wanted], n_reused)

    def hold(self, other: StoredEnvironment) -> None:
        """Count what another copy has drawn, of other queries, as drawn here too."""
        self._held = {**other._held, **self._held}
