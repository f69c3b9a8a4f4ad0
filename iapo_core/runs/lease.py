"""A claim that is kept alive while a run is driven, by a thread with connections of its own."""

from __future__ import annotations

import logging
import threading
import time

from iapo_core.errors import StoreError
from iapo_core.runs.store import Claim, LeaseLostError, Store

LEASE_S = 10.0
POLL_S = 0.25
BEAT_S = 1.0
_LOG = logging.getLogger(__name__)


class HeldLease:
    """Renews a claim, hears what is asked of the run, and says that the worker lives, until it is closed or lost.

    Durations are measured by the monotonic clock, so that setting the clock neither renews too late nor too often.

    Attributes:
        claim: What is held.
        requested: What the run was asked to do, None if nothing.
        is_lost: True once another worker has the run.
    """

    def __init__(self, store: Store, claim: Claim, lease_s: float, worker_id: str | None = None) -> None:
        self.claim, self.requested, self.is_lost = claim, store.requested(claim.run_id), False
        self._store, self._lease_s, self._worker_id = store, lease_s, worker_id
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name=f"lease-{claim.run_id}")

    def __enter__(self) -> HeldLease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _keep(self) -> None:
        renewed = beaten = time.monotonic()
        while not self._closed.wait(min(POLL_S, self._lease_s / 4)):
            now = time.monotonic()
            try:
                if now - renewed > self._lease_s / 4:
                    self.requested = self._store.renew(self.claim, self._lease_s)
                    renewed = now
                else:
                    self.requested = self._store.requested(self.claim.run_id)
                if self._worker_id is not None and now - beaten > BEAT_S:
                    self._store.beat(self._worker_id)
                    beaten = now
            except LeaseLostError:
                self.is_lost = True
                return
            except StoreError as error:  # the next write of the run itself decides whether the lease still holds
                _LOG.warning("the lease of run %s was not renewed: %s", self.claim.run_id, error)
