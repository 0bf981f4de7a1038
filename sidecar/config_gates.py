"""The gates' policies: what a challenger must show before it may be promoted. Each gate may be `off`.

Part of `config`; judged in `decide/gates`. Holds the gates' defaults, decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sidecar.config_values import Quantile, Seconds, Section, Share


class PairsGate(Section):
    """Joined champion and challenger rows, from enough requests: one large batch is one caller at one moment."""

    min: Annotated[int, Field(ge=1)] = 5000
    min_requests: Annotated[int, Field(ge=1)] = 100


class DurationGate(Section):
    """Mirrored time; the default is a full weekly cycle."""

    min_hours: Annotated[float, Field(ge=0)] = 168.0


class CompletenessGate(Section):
    """Mirrored share of the copies that were due."""

    min: Share = 0.99


class ErrorsGate(Section):
    """Requests that only the challenger failed, less those that only the champion failed, as a share."""

    max_increase: Share = 0.001


class LatencyGate(Section):
    """Challenger against champion on the same requests."""

    quantile: Quantile = 0.99
    max_ratio: Annotated[float, Field(gt=0)] = 1.5


class AgreementGate(Section):
    """Agreement may block a promotion, it never earns one."""

    min: Share = 0.90


class PredictionGate(Section):
    """PSI of the challenger's predictions against the champion's."""

    max_psi: Annotated[float, Field(gt=0)] = 0.1


class OutcomeGate(Section):
    """Quality on the same rows with the same outcome, by a test that stays valid under continuous looking."""

    metric: Literal["accuracy"] = "accuracy"
    test: Literal["noninferior", "superior"] = "noninferior"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.005
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_matched: Annotated[int, Field(ge=1)] = 500


class CalibrationGate(Section):
    """The challenger's expected calibration error above the champion's, on the same rows."""

    max_increase: Annotated[float, Field(gt=0, le=1)] = 0.01


class SegmentsGate(Section):
    """No segment that the comparison names is worse, each with enough rows to be seen."""

    min_pairs: Annotated[int, Field(ge=0)] = 200


class InputsGate(Section):
    """No open data.broken alarm."""


class LineageGate(Section):
    """Registry fields that must be there."""

    require: tuple[str, ...] = Field(default=(), strict=False)


class ApprovalsGate(Section):
    """Distinct people, none of them the promoter unless `promoter_counts`."""

    min: Annotated[int, Field(ge=0, le=100)] = 0
    valid_s: Seconds = 86_400.0
    promoter_counts: bool = False


def _off(value: object) -> object:
    if value is False or value == "off":  # by identity: `pairs: 0` must not switch a gate off
        return False
    raise ValueError("must be off")


# YAML reads a bare `off` as false; both switch a gate off.
Off = Annotated[Literal[False], BeforeValidator(_off)]


# Gates that judge outcomes as `outcome` does: who switches that off has none, and these would wait for ever.
_BY_OUTCOMES = ("calibration", "segments")


class Gates(Section):
    """Gate -> policy, or `off`. Without `outcome`, the others that need outcomes are off unless they are set."""

    pairs: PairsGate | Off = PairsGate()
    duration: DurationGate | Off = DurationGate()
    completeness: CompletenessGate | Off = CompletenessGate()
    errors: ErrorsGate | Off = ErrorsGate()
    latency: LatencyGate | Off = LatencyGate()
    agreement: AgreementGate | Off = AgreementGate()
    prediction: PredictionGate | Off = PredictionGate()
    outcome: OutcomeGate | Off = OutcomeGate()
    calibration: CalibrationGate | Off = CalibrationGate()
    segments: SegmentsGate | Off = SegmentsGate()
    inputs: InputsGate | Off = InputsGate()
    lineage: LineageGate | Off = LineageGate()
    approvals: ApprovalsGate | Off = ApprovalsGate()

    @model_validator(mode="before")
    @classmethod
    def _without_outcomes(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and (given.get("outcome") is False or given.get("outcome") == "off"):
            return dict.fromkeys(_BY_OUTCOMES, False) | dict(given)
        return given
