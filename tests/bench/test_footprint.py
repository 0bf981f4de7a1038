"""What is told of the footprint: files that exist, targets that are judged, and a document that was written by it."""

from __future__ import annotations

import json

from bench.footprint import DOCUMENT, KEPT, text
from bench.own_code import OWN

KEPT_SIZES = {"python": "3.11.7", "sizes": [{"name": "a", "version": "1", "dependencies": 3, "mebibytes": 20.4}]}


def test_each_part_that_a_library_could_stand_in_for_exists_and_no_file_is_told_twice() -> None:
    told = [path for own in OWN for path in own.paths()]

    assert all(own.paths() and own.lines and own.reason for own in OWN)
    assert len(set(told)) == len(told)


def test_a_target_that_is_missed_is_said_to_be() -> None:
    told = text(KEPT_SIZES, [110.0] * 9, [60.0] * 9)

    assert "| a | 1 | 3 | 20 |" in told
    assert "| `sidecar --help`, a new process: CPU time | 110 ms | 110 ms | 110 ms | ≤ 200 ms | met |" in told
    assert "| 60 ms | 60 ms | 60 ms | ≤ 50 ms | missed |" in told


def test_the_document_has_what_was_measured_last() -> None:
    sizes = json.loads(KEPT.read_text(encoding="utf-8"))["sizes"]
    document = DOCUMENT.read_text(encoding="utf-8")

    assert [size["name"] for size in sizes] == ["serving-sidecar", "mlserver", "evidently", "seldon-core"]
    for size in sizes:
        assert f"| {size['name']} | {size['version']} | {size['dependencies']} | {size['mebibytes']:.0f} |" in document
