"""What the sidecar's admin API says at one moment, as numbers that a month can be cut out of.

Keeps: everything comes through the public API, nothing out of the sidecar's files. Does not: compute differences
(`months` does). Called by the main program at every month's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from examples.flights.configuration import CHALLENGER, CHAMPION, MODEL


@dataclass(frozen=True, slots=True)
class Quality:
    """One version on all rows with an outcome so far: their number, and means over them."""

    matched: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as it stands; `since` is its onset on the wall clock, `ended` whether it is over."""

    id: str
    kind: str
    severity: str
    says: str
    action: str
    since: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """One line of the gate table."""

    name: str
    verdict: str
    observed: str
    required: str
    detail: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature against training."""

    name: str
    psi: float | None
    kl_lower: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything since the start. `pairs` rows were answered by both versions, `agreement` is the share alike."""

    champion: Quality
    challenger: Quality
    pairs: int
    agreement: float
    mirrored: int
    due: int
    rows_watched: int
    rows_seen: int
    severity: str
    features: tuple[Feature, ...]
    alarms: tuple[Alarm, ...]
    verdict: str
    gates: tuple[Gate, ...]


async def read(session: aiohttp.ClientSession, admin_url: str) -> Reading:
    """Asks all calls that the example shows."""
    deployment = f"{admin_url}/v1/deployments/{MODEL}"
    performance = await _get(session, f"{deployment}/performance")
    comparison = await _get(session, f"{deployment}/comparison?challenger={CHALLENGER}")
    drift = await _get(session, f"{deployment}/drift")
    gates = await _get(session, f"{deployment}/gates?challenger={CHALLENGER}")
    alarms = await _get(session, f"{admin_url}/v1/alarms")
    versions = {item["version"]: Quality(item["matched"], item["metrics"]) for item in performance["items"]}
    nothing = Quality(0, {})
    agreement = comparison["agreement"]
    prediction = [drift["prediction"]] if drift["prediction"] is not None else []
    return Reading(
        champion=versions.get(CHAMPION, nothing),
        challenger=versions.get(CHALLENGER, nothing),
        pairs=comparison["pairs"],
        agreement=agreement["value"] if agreement is not None else 0.0,
        mirrored=comparison["mirrored"],
        due=comparison["due"],
        rows_watched=drift["rows_sampled"],
        rows_seen=drift["rows_seen"],
        severity=drift["severity"],
        features=tuple(
            Feature(item["name"], item["psi"], item["kl_lower"], item["alarm"])
            for item in (*drift["features"], *prediction)
        ),
        alarms=tuple(
            Alarm(
                id=item["id"],
                kind=item["kind"],
                severity=item["severity"],
                says=item["says"],
                action=item["action"],
                since=item["since"],
                ended=item["ended"] is not None,
            )
            for item in alarms["items"]
        ),
        verdict=gates["verdict"],
        gates=tuple(
            Gate(
                name=gate["name"],
                verdict=gate["verdict"],
                observed=_text(gate["observed"]),
                required=_text(gate["required"]),
                detail=gate["detail"],
            )
            for gate in gates["gates"]
        ),
    )


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        answer.raise_for_status()
        return await answer.json()


def _text(value: float | str | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
