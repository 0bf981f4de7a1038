"""Moved features whose values changed places, found with all of them in hand.

Keeps: a swap is named only where every column of the ring fits the next one's baseline and nothing else explains
either better; numbers by their distributions, categories by their names.
Does not: decide that a feature moved. Called by: the drift observer when a bucket closed and alarms are open.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from registry_client.baseline import FeatureBaseline
from sidecar.observe.feature_cause import Moved, figures_of
from sidecar.reports import Cause
from sidecar.stats.naming import TOLERANCE, live_rows, name_cause
from sidecar.stats.swaps import MovedColumn, sources

_FOREIGN = 0.9  # the share of unseen texts that must be another column's categories


def swaps_in(moved: Mapping[str, tuple[FeatureBaseline, Moved]], tolerance: float = TOLERANCE) -> dict[str, Cause]:
    """The cause of each feature that changed places with others; nothing of the rest."""
    found = _numeric(moved, tolerance)
    found |= _categorical(moved)
    return found


def _numeric(moved: Mapping[str, tuple[FeatureBaseline, Moved]], tolerance: float) -> dict[str, Cause]:
    columns: dict[str, MovedColumn] = {}
    for name, (baseline, evidence) in moved.items():
        if baseline.kind != "numeric":
            continue
        values, counts = evidence.numbers.atoms()
        live = live_rows(values, counts, evidence.numbers.coarsening)
        if live is not None:
            atoms = np.asarray(baseline.quantiles, dtype=np.float64)
            columns[name] = MovedColumn(atoms, live, baseline.n, tolerance)
    if len(columns) < 2:
        return {}
    named: dict[str, Cause] = {}
    rings = sources(columns)
    for name, source in rings.items():
        baseline, evidence = moved[name]
        values, counts = evidence.numbers.atoms()
        cause = name_cause(
            baseline.quantiles,
            values,
            counts,
            coarsening=evidence.numbers.coarsening,
            frequent=evidence.frequent,
            figures=figures_of(baseline),
            tolerance=tolerance,
            others={source: columns[source].atoms},
        )
        if cause is not None and cause.kind == "swap":
            named[name] = cause
    # A ring is named whole or not at all.
    return {name: cause for name, cause in named.items() if _whole(name, rings, named)}


def _whole(name: str, rings: Mapping[str, str], named: Mapping[str, Cause]) -> bool:
    at = rings[name]
    while at != name and at in named:
        at = rings[at]
    return at == name


def _categorical(moved: Mapping[str, tuple[FeatureBaseline, Moved]]) -> dict[str, Cause]:
    """Two categorical features each of whose unseen texts are the other's categories."""
    texts = {
        name: (frozenset((*baseline.categories, *baseline.tail)), evidence)
        for name, (baseline, evidence) in moved.items()
        if baseline.kind == "categorical" and evidence.unseen
    }
    holds = {
        name: {
            other
            for other, (known, _) in texts.items()
            if other != name and sum(text in known for text in evidence.unseen) >= _FOREIGN * len(evidence.unseen)
        }
        for name, (_, evidence) in texts.items()
    }
    found: dict[str, Cause] = {}
    for name, others in holds.items():
        pairs = [other for other in sorted(others) if name in holds[other]]
        if len(pairs) == 1:
            baseline, evidence = moved[name]
            unseen = baseline.cells.unseen_index
            share = float(evidence.counts[unseen] / max(evidence.counts.sum(), 1)) if unseen is not None else 0.0
            says = f"the values are those of {pairs[0]}"
            found[name] = Cause(kind="swap", says=says, with_=pairs[0], share=round(share, 4), explained=1.0)
    return found
