"""Which exchanges are sampled, so that watched rows stay within a budget.

The choice is by a hash of the request id, never by value or order, so a sample stays representative and every
replica chooses alike at the same rate. Called by the deployment's watch.
"""

from __future__ import annotations

from zlib import crc32

_SALT = crc32(b"sampling")  # another hash than the mirror's, or a fraction would always sample the same ids


class RowBudget:
    """At most about `rows_per_s` rows: this second's share is set by the last second's rows, and cut as more come."""

    def __init__(self, rows_per_s: int) -> None:
        self._rows_per_s = rows_per_s
        self._second = 0
        self._offered = 0
        self.rate = 1.0

    def admits(self, request_id: str, rows: int, at: float) -> bool:
        """Whether an exchange with that many rows, at `at` seconds, is in the sample."""
        second = int(at)
        if second != self._second:
            self.rate = self._share()
            self._second, self._offered = second, 0
        self._offered += rows
        # A burst has no second before it to be measured by: the rate falls while it comes.
        self.rate = min(self.rate, self._share())
        return crc32(request_id.encode("utf-8", "replace"), _SALT) < self.rate * 4_294_967_296.0

    def _share(self) -> float:
        return min(1.0, self._rows_per_s / self._offered) if self._offered else 1.0
