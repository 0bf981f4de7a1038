"""Whether retraining is recommended now, and on which data.

Keeps: never for a broken feed, and not while one, or a category that training never saw, stands unacknowledged; a
change that began under a broken feed has to outlive it; at most so many a month, and none until the last one was
taken by a receiver and its cooldown is over, so that a lost delivery opens no window of silence.
Pure: a table of rules over what stands now. Does not: send, remember, or start any training.
Called by: `control/retraining`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from sidecar.config_events import Retrain
from sidecar.standing import Alarm

MONTH_S = 30 * 86_400.0
_TRIGGERS = ("outcome.degraded", "drift.detected")
_ORDER = ("none", "info", "warning", "critical")

Why = Literal[
    "off", "nothing", "not_grave", "broken_feed", "too_young", "unacknowledged", "undelivered", "cooldown", "budget"
]


class Stretch(msgspec.Struct, frozen=True):
    """A time in which the input was broken; `until` None: it still is. Seconds since the epoch."""

    since: float
    until: float | None


class Earlier(msgspec.Struct, frozen=True):
    """A recommendation that was made; `taken` None: no receiver has taken it yet; `lost`: none ever will."""

    at: float
    taken: float | None
    lost: bool = False


class Recommendation(msgspec.Struct, frozen=True):
    """Train on data from `since` to `until`, without `leave_out` (ascending, apart). Seconds since the epoch."""

    alarm: Alarm
    since: float
    until: float
    leave_out: tuple[tuple[float, float], ...]


class Held(msgspec.Struct, frozen=True):
    """No recommendation now, and which rule says so."""

    why: Why


def recommend(
    policy: Retrain, alarms: Iterable[Alarm], broken: Iterable[Stretch], earlier: Iterable[Earlier], now: float
) -> Recommendation | Held:
    """The gravest alarm that is worth a training, or why there is none.

    Args:
        policy: the deployment's.
        alarms: its open ones.
        broken: stretches under `data.broken`, as far back as `policy.window_s`, in any order.
        earlier: recommendations of the last month, and those before that may still cool down.
        now: seconds since the epoch.
    """
    stood, stretches, made = tuple(alarms), tuple(broken), tuple(earlier)
    blocked = any(not alarm.acknowledged and _is_about_the_feed(alarm) for alarm in stood)
    too_soon = _too_soon(policy, made, now)
    # Each rule in its order with the alarms that pass it; the first that none passes says why not.
    rules: tuple[tuple[Why, Callable[[Alarm], bool]], ...] = (
        ("off", lambda _: policy.per_month > 0),
        ("nothing", _is_trigger),
        ("not_grave", lambda alarm: _ORDER.index(alarm.severity) >= _ORDER.index(policy.severity)),
        ("broken_feed", lambda _: not blocked),
        ("too_young", lambda alarm: now - _counted_from(alarm, stretches, now) >= policy.after_s),
        ("unacknowledged", lambda alarm: alarm.acknowledged or not policy.acknowledged),
        (too_soon or "cooldown", lambda _: too_soon is None),
    )
    if not stood:
        return Held("nothing" if policy.per_month else "off")
    seen = stood
    for why, passes in rules:
        seen = tuple(filter(passes, seen))
        if not seen:
            return Held(why)
    chosen = min(seen, key=lambda a: (-_ORDER.index(a.severity), _TRIGGERS.index(a.kind), a.since, a.id))
    since = now - policy.window_s
    return Recommendation(alarm=chosen, since=since, until=now, leave_out=left_out(stretches, since, now))


def left_out(stretches: Iterable[Stretch], since: float, until: float) -> tuple[tuple[float, float], ...]:
    """The stretches within a window, ascending, those that touch joined."""
    clipped = sorted(
        (max(since, each.since), min(until, until if each.until is None else each.until)) for each in stretches
    )
    joined: list[tuple[float, float]] = []
    for begin, end in clipped:
        if end <= begin:
            continue
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return tuple(joined)


def _is_trigger(alarm: Alarm) -> bool:
    return alarm.kind in _TRIGGERS and alarm.explained_by is None and alarm.ended is None and not _is_category(alarm)


def _is_about_the_feed(alarm: Alarm) -> bool:
    return alarm.kind == "data.broken" or _is_category(alarm)


def _is_category(alarm: Alarm) -> bool:
    return alarm.cause == "new_category"


def _counted_from(alarm: Alarm, stretches: tuple[Stretch, ...], now: float) -> float:
    """Since when it stands by itself: what began while a feed was broken may be that feed's doing, as long as it
    does not outlive it.
    """
    under = [each for each in stretches if each.since <= alarm.since <= (now if each.until is None else each.until)]
    ends = [now if each.until is None else each.until for each in under]
    return max([alarm.since, *ends])


def _too_soon(policy: Retrain, made: tuple[Earlier, ...], now: float) -> Why | None:
    told = [each for each in made if not each.lost]
    if any(each.taken is None for each in told):
        return "undelivered"
    if any(each.taken is not None and now - each.taken < policy.cooldown_s for each in told):
        return "cooldown"
    if sum(now - each.at < MONTH_S for each in told) >= policy.per_month:
        return "budget"
    return None
