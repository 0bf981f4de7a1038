"""What h2load says, and what is refused."""

from __future__ import annotations

import pytest

from bench.h2load import Load, LoadFailed, read_result

GOOD = """\
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 2.00s, 3056.50 req/s, 441.69KB/s
requests: 3056 total, 3058 started, 3056 done, 3050 succeeded, 6 failed, 0 errored, 0 timeout
status codes: 3050 2xx, 0 3xx, 0 4xx, 6 5xx
"""


def test_the_rate_and_the_failures_are_read() -> None:
    assert read_result(GOOD) == Load(requests_per_s=3056.5, done=3056, failed=6)


@pytest.mark.parametrize(
    ("output", "says"),
    [("", "it said nothing"), ("unable to connect", "unable to connect"), (GOOD.replace("done", ""), "no result")],
)
def test_no_usable_result_is_told(output: str, says: str) -> None:
    with pytest.raises(LoadFailed, match=says):
        read_result(output)
