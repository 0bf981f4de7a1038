"""The settings of how versions are compared and what counts as working: part of `config`, reads no file.

Segments and re-asking are opt-in: the first stores what the settings name of a feature, the second costs the champion
requests and is for models that may be asked twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sidecar.config_values import Section

_MOST = 20
Probability = Annotated[float, Field(gt=0.0, lt=1.0)]
_Value = Annotated[str, Field(min_length=1, max_length=60)]


class SegmentBy(Section):
    """A feature that parts rows: by some of its `values`, or by `edges`; every other row is in the segment "other"."""

    feature: Annotated[str, Field(min_length=1, max_length=120)]
    values: tuple[_Value, ...] = Field(default=(), strict=False, max_length=_MOST)
    edges: tuple[float, ...] = Field(default=(), strict=False, max_length=_MOST)

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if bool(self.values) == bool(self.edges):
            raise ValueError("values: give them, or edges, one of the two")
        if len(set(self.values)) < len(self.values):
            raise ValueError("values: one comes twice")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges: must ascend")
        return self


class Comparison(Section):
    """Scores also agree within `relative_tolerance` of the champion's; from `threshold` on they mean the positive."""

    relative_tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    threshold: Probability = 0.5
    segments: tuple[SegmentBy, ...] = Field(default=(), strict=False, max_length=3)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        features = [segment.feature for segment in self.segments]
        if len(set(features)) < len(features):
            raise ValueError("segments: two are by the same feature")
        return self


class NoiseFloor(Section):
    """The share of copied requests that the champion is asked again, for it may be; 0: none."""

    share: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    max_per_s: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0


class Quality(Section):
    """What working means: `metric` is at least `threshold` (brier: at most), or `owner` hears of it; unset: nothing."""

    metric: Literal["accuracy", "precision", "recall", "f1", "brier"] = "accuracy"
    threshold: Probability | None = None
    owner: str = ""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.threshold is None and (self.metric != "accuracy" or self.owner):
            raise ValueError("threshold: is required by metric and owner, which have no effect without it")
        return self
