"""What the access log tells of a request that a canary was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.decide import routing_table
from sidecar.proxy.access_log import AccessLog
from tests.proxy.scripted import Script, World, answering
from tests.proxy.test_canary import BY_FOUR, FIVE_HUNDRED, ask, stand


async def logged(world: World, path: Path) -> list[dict[str, Any]]:
    log = world.plane.access_log
    assert log is not None
    await log.close(5.0)
    return [line for line in map(json.loads, path.read_bytes().splitlines()) if line["leg"] == "champion"]


@pytest.mark.parametrize(
    ("canary", "weight", "told"),
    [
        (answering(BY_FOUR), 1.0, ("4", "4", None)),
        (answering(FIVE_HUNDRED), 1.0, ("4", "3", "status_5xx")),
        (None, 1.0, ("4", "3", "connect")),
        (answering(BY_FOUR), 0.0, (None, "3", None)),
    ],
)
async def test_the_access_log_tells_who_was_asked_first_and_why_another_answered(
    world: World, tmp_path: Path, canary: Script | None, weight: float, told: tuple[Any, ...]
) -> None:
    await stand(world, canary, weight=weight)
    world.plane.access_log = AccessLog(1)
    world.plane.access_log.adapt(routing_table.AccessLog(1.0, str(tmp_path / "log")))
    await ask(world)
    await world.quiet()
    (line,) = await logged(world, tmp_path / "log")
    assert (line["canary"], line["version"], line["canary_error"]) == told
