"""Experiment C's peers: how many values until each tells a change, its threshold tuned to the sidecar's rate.

Windows begin exactly with the change and have the best of two sizes for each effect; streaming detectors have the best
of several settings that keep to the rate. Called by `power`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.drift import peers
from bench.drift.effects import Effect
from bench.drift.plan import Plan
from bench.drift.scores import window_threshold, windows_to_alarm
from bench.programs import Missing

Floats = NDArray[np.float64]
BASELINE_ROWS, RUN_VALUES = 50_000, 200_000
WINDOWS = (250, 1_000)
PEERS = ("evidently", "evidently-test", "nannyml", "whylogs", "scouter")
STREAMING = ("river-adwin", "river-kswin", "river-pagehinkley")


def null_of(effect: Effect) -> str:
    """Which distribution without change it belongs to."""
    return "missing" if effect.name.startswith("missing") else effect.kind


def median(delays: Floats) -> float:
    """The lower one of an even number, so that it is infinite only where half are."""
    return float(np.sort(delays)[(len(delays) - 1) // 2])


def measured(plan: Plan, effects: Sequence[Effect], rng: np.random.Generator) -> dict[str, dict[str, float] | str]:
    """Median values to an alarm by contender and effect; or why it was not measured."""
    found: dict[str, dict[str, float] | str] = {}
    for peer in PEERS:
        try:
            found[peer] = _batch_peer(plan, peer, effects, np.random.default_rng(rng.integers(1 << 31)))
        except Missing as error:
            found[peer] = str(error)
        plan.tell(f"  {peer}: {found[peer]}")
    for peer in STREAMING:
        try:
            found[peer] = _streaming_peer(plan, peer, effects, np.random.default_rng(rng.integers(1 << 31)))
        except Missing as error:
            found[peer] = str(error)
        plan.tell(f"  {peer}: {found[peer]}")
    return found


def _batch_peer(plan: Plan, peer: str, effects: Sequence[Effect], rng: np.random.Generator) -> dict[str, float]:
    nulls = {null_of(effect): effect for effect in effects}
    sizes, null_windows, changed_windows = plan.pick(WINDOWS[:1], WINDOWS), plan.pick(800, 1_600), plan.pick(30, 60)
    references = {name: effect.before(rng, BASELINE_ROWS) for name, effect in nulls.items()}
    jobs: list[tuple[int, str, peers.Windows]] = []
    for size in sizes:
        for name, effect in nulls.items():
            drawn = effect.before(rng, null_windows * size).reshape(-1, size)
            jobs.append((size, name, peers.Windows(references[name], drawn, effect.kind)))
        for effect in effects:
            drawn = effect.after(rng, changed_windows * size).reshape(-1, size)
            jobs.append((size, effect.name, peers.Windows(references[null_of(effect)], drawn, effect.kind)))
    judged = {
        (size, name): np.asarray(one.statistic)
        for (size, name, _), one in zip(jobs, peers.judge(peer, [job for *_, job in jobs]), strict=True)
        if one is not None
    }
    return {effect.name: min((_delay(judged, size, effect) for size in sizes), default=math.inf) for effect in effects}


def _delay(judged: Mapping[tuple[int, str], Floats], size: int, effect: Effect) -> float:
    """Median values to an alarm with windows of one size, its threshold tuned on windows without change."""
    null, changed = judged.get((size, null_of(effect))), judged.get((size, effect.name))
    if null is None or changed is None:
        return math.inf
    power = float(np.mean(changed >= window_threshold(null, size / RUN_VALUES)))
    # No better than without change: it does not see it.
    return size * windows_to_alarm(power) if power > 5 * size / RUN_VALUES else math.inf


def _streaming_peer(plan: Plan, peer: str, effects: Sequence[Effect], rng: np.random.Generator) -> dict[str, float]:
    """Each setting's rate of false alarms is measured; the fastest setting that keeps to the rate is taken."""
    numeric = [effect for effect in effects if null_of(effect) == "numeric"]
    streams, values = plan.pick(4, 10), plan.pick(20_000, 100_000)
    if peer == "river-kswin":
        streams, values = plan.pick(1, 2), plan.pick(10_000, 50_000)
    null = numeric[0].before(rng, streams * values).reshape(streams, values)
    changed = {
        f"after/{number}": np.concatenate(
            [
                effect.before(rng, 2_000 * streams).reshape(streams, -1),
                effect.after(rng, plan.pick(4_000, 10_000) * streams).reshape(streams, -1),
            ],
            axis=1,
        )
        for number, effect in enumerate(numeric)
    }
    answer = peers.ask(peer, "streams", {"change_at": 2_000, "effects": len(numeric)}, {"null": null, **changed})
    delays: dict[str, float] = {}
    for setting in answer:
        # So few false alarms that a run of RUN_VALUES is credible: at most one and a half times the wanted number.
        if setting["false_alarms"] > max(1.0, 1.5 * streams * values / RUN_VALUES):
            continue
        for effect, found in zip(numeric, setting["delays"], strict=True):
            delay = median(np.array([math.inf if one is None else one for one in found], dtype=np.float64))
            delays[effect.name] = min(delays.get(effect.name, math.inf), delay)
    if not delays:
        raise Missing(f"{peer}: at every setting more false alarms than one in {RUN_VALUES:,} values")
    return delays
