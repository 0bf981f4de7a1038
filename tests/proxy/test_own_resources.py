from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from sidecar.proxy.own_resources import allow_descriptors, descriptors_used

# In a process of its own: what else lies on the heap decides how much can be given back.
FREED = """
from sidecar.proxy.own_resources import give_back, resident_bytes
blocks = [bytes([number]) * 100_000 for number in range(200) for _ in range(3)]  # smaller than what malloc maps
keep, held = bytes(100_000), resident_bytes()
blocks.clear()
give_back()
print(held - resident_bytes())
"""


def test_memory_that_was_freed_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 30_000_000


def test_descriptors_are_counted_as_they_go() -> None:
    before = descriptors_used()
    taken = [os.dup(0) for _ in range(50)]
    try:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert descriptors_used() == pytest.approx(before + 50 / limit, abs=5 / limit)
    finally:
        for descriptor in taken:
            os.close(descriptor)


def test_as_many_descriptors_as_may_be_had_are_taken() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 512), limits[1]))
        assert allow_descriptors() == limits[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
