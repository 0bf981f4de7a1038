"""One column, counted and judged as in a whole observer: a bucket of values in, whether its alarm changed out."""

from __future__ import annotations

from typing import Any

import msgspec

from registry_client.baseline import Baseline, FeatureBaseline
from sidecar.observe.counting import Counting
from sidecar.observe.feature_cause import feature_cause
from sidecar.observe.judging import Judging
from sidecar.observe.reference import as_baseline
from sidecar.observe.ruler import Ruler
from sidecar.observe.watched_column import WatchedColumn
from sidecar.records import Sample

BUCKET_S = 60.0


class OneColumn:
    def __init__(self, baseline: Baseline, name: str, *, threshold: float = 1e5) -> None:
        only = msgspec.structs.replace(baseline, features=(baseline.by_name[name],), prediction=None)
        self.name = name
        self._ruler = Ruler(only)
        self._counting = Counting(self._ruler, BUCKET_S, 0.0)
        self._judging = Judging(
            self._ruler,
            {0: self._ruler.columns[0]},
            tolerance=0.005,
            threshold=threshold,
            now=0.0,
            explains={0: feature_cause},
        )
        self.bucket = 0

    @property
    def column(self) -> WatchedColumn:
        return self._judging.columns[0]

    @property
    def baseline(self) -> FeatureBaseline:
        return as_baseline(self._ruler.columns[0], self.column.detector.total)

    def count(self, values: Any) -> None:
        sample = Sample("r", BUCKET_S * self.bucket, len(values), {self.name: values}, None)
        assert self._counting.add(sample)

    def close(self) -> bool:
        """Ends the bucket."""
        started_at = BUCKET_S * self.bucket
        self.bucket += 1
        taken = self._counting.take(self.bucket)
        changed = [self._judging.judge(bucket, started_at, started_at + BUCKET_S) for bucket in taken]
        return any(changed)

    def see(self, values: Any) -> bool:
        """A bucket of values."""
        self.count(values)
        return self.close()
