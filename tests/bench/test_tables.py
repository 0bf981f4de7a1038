"""The bench's own routing tables are what a worker reads, at the settings' defaults."""

from __future__ import annotations

from pathlib import Path

from bench import tables
from bench.traffic import MODEL
from sidecar.app.worker import read_table
from sidecar.config import Limits, Timeouts


def test_a_worker_reads_the_table_with_the_defaults_of_the_settings(tmp_path: Path) -> None:
    table = read_table(tables.write(tmp_path / "table", tables.pair(8001, 8002), 8001))
    copied, alone = table.routes
    assert (copied.match, copied.champion.port, copied.shadows[0].to.port) == (tables.path_of(MODEL), 8001, 8002)
    assert (copied.shadows[0].fraction, copied.shadows[0].enabled) == (1.0, True)
    assert alone.shadows == ()
    assert table.upstream is not None
    assert table.upstream.port == 8001
    assert table.bounds.body_bytes == Limits().body_bytes
    assert table.bounds.idle_upstream_s == Timeouts().idle_upstream_s
