"""Copies were due and none was sent: a shadow that scores nothing, although everybody believes that it does.

Keeps: the alarm holds from 60 seconds and 20 due copies without a single one sent until one is sent. Copies that a
person switched off, or that a stopping sidecar gave up, were not expected. Pure; adds over workers and restarts.
Does not: judge how copies end once sent (the gates do). Called by the deployment's watch, one per challenger.
"""

from __future__ import annotations

import msgspec

from sidecar.observe.alarms import moment
from sidecar.reports import AlarmChange, Copies

SILENT_S = 60.0
LEAST_DUE = 20
_NOT_EXPECTED = ("disabled", "shutting_down")

# What a person can do about the reason that most copies were dropped for.
_ACTIONS = {
    "connect_error": "Start the challenger's server, or correct its url; callers are not affected.",
    "breaker_open": "Look at the challenger's server: too many copies failed, so it is only probed now and then.",
    "inflight_limit": "The challenger answers too slowly: give it more capacity, or a smaller fraction.",
    "timeout": "The challenger is not reached in time: give it more capacity, or a smaller fraction.",
    "queue_full": "Copies come faster than they can be sent: give the challenger a smaller fraction.",
    "bytes_full": "Copies hold too much memory: raise limits.mirror_bytes, or give the challenger a smaller fraction.",
    "stateful": "Requests belong to sequences or to shared memory, which only one server may get: compare offline.",
    "body_too_large": "Every body is too large to be copied: raise limits.mirror_body_bytes.",
}
_ACTION = "Look at the challenger's server and at the workers' log; callers are not affected."


class MirrorSilence(msgspec.Struct):
    """One challenger's run of due copies of which none was sent. `since`: seconds since the epoch; None: no run."""

    version: str
    since: float | None = None
    due: int = 0
    reasons: dict[str, int] = {}

    def fold(self, delta: Copies, at: float) -> None:
        """Copies since the last call, at `at` seconds."""
        expected = {reason: n for reason, n in delta.dropped.items() if n > 0 and reason not in _NOT_EXPECTED}
        if delta.mirrored > 0:
            self.since, self.due, self.reasons = None, 0, {}
        elif expected:
            self.since = at if self.since is None else self.since
            self.due += sum(expected.values())
            for reason, count in expected.items():
                self.reasons[reason] = self.reasons.get(reason, 0) + count

    def alarm(self, now: float) -> AlarmChange | None:
        """The alarm that holds at `now`, if one does."""
        if self.since is None or self.due < LEAST_DUE or now - self.since < SILENT_S:
            return None
        reason = max(self.reasons, key=lambda name: (self.reasons[name], name))
        return AlarmChange(
            key=f"mirror/{self.version}",
            kind="mirror.silent",
            severity="warning",
            says=(
                f"no copy reached version {self.version} since {moment(self.since)}: {self.due:,} were due, most of"
                f" them dropped for {reason}"
            ),
            action=_ACTIONS.get(reason, _ACTION),
            since=self.since,
        )
