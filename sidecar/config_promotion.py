"""Who moves the pointer, when, and how a new champion is watched.

Part of `config`; judged in `decide/automation` and `decide/harm`. Holds defaults, decides nothing, and does not know
whether a time zone exists (`config_rules` does).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sidecar.config_values import Seconds, Section

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _time_of_day(value: object) -> object:
    # YAML reads 17:00 without quotes as a number of the base 60.
    text = f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError(f"{value!r}: a time of day is written as 09:00, and the end of the day as 24:00")
    return text


def _switch(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare `off` as false


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day)]


class Hours(Section):
    """When the machine may promote: on these days from `start` to `end`, over midnight where `end` comes first."""

    days: tuple[Day, ...] = Field(default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), strict=False, min_length=1)
    start: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"
    zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.start in (self.end, "24:00"):
            raise ValueError(f"from {self.start} to {self.end} there is no time at all")
        return self


class Flaps(Section):
    """At most so many moves of a champion by the machine within that time, promotions and rollbacks together."""

    most: Annotated[int, Field(ge=2, le=1000)] = 4
    within_s: Seconds = 86_400.0


class Watch(Section):
    """Whether the machine rolls a new champion back that does harm, and how often it may be wrong about that."""

    rollback: Annotated[Literal["auto", "off"], BeforeValidator(_switch)] = "auto"
    alpha: Annotated[float, Field(gt=0.0, le=0.2)] = 0.01


class CanaryStep(Section):
    """One step: the share of requests, how long it lasts at least with traffic, how many rows both must have scored."""

    weight: Annotated[float, Field(gt=0.0, lt=1.0)]
    dwell_s: Annotated[float, Field(ge=0.0, le=1e9)] = 3600.0
    min_pairs: Annotated[int, Field(ge=1)] = 500


class Canary(Section):
    """Steps between the shadow and all requests; without any there is no canary."""

    steps: tuple[CanaryStep, ...] = Field(default=(), strict=False, max_length=20)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        weights = [step.weight for step in self.steps]
        if any(one >= other for one, other in pairwise(weights)):
            raise ValueError("steps: each has a larger weight than the one before")
        return self


class Promotion(Section):
    """Who moves the pointer, and how long and how the new champion is watched.

    `dwell_s`: how long every gate must have passed without a break before the machine promotes.
    """

    mode: Literal["manual", "auto"] = "manual"
    watch_s: Seconds = 1800.0
    dwell_s: Annotated[float, Field(ge=0.0, le=1e9)] = 300.0
    hours: Hours = Hours()
    flaps: Flaps = Flaps()
    watch: Watch = Watch()
    canary: Canary = Canary()

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.mode == "manual":
            if self.dwell_s != 300.0:
                raise ValueError("dwell_s: has no effect without mode: auto")
            if self.hours != Hours():
                raise ValueError("hours: have no effect without mode: auto")
            if self.watch.rollback == "off" and self.flaps != Flaps():
                raise ValueError("flaps: have no effect where the machine neither promotes nor rolls back")
        if self.watch.rollback == "off" and self.watch.alpha != 0.01:
            raise ValueError("watch.alpha: has no effect with rollback: off")
        return self
