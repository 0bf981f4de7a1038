from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config_file import ConfigFaults, load

UPSTREAM = "upstream: http://127.0.0.1:8000\n"


def faults(folder: Path, text: str) -> list[tuple[str, str]]:
    path = folder / "config.yaml"
    path.write_text(UPSTREAM + text)
    try:
        load(path)
    except ConfigFaults as found:
        return [(fault.key, fault.says) for fault in found.faults]
    return []


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("events: [{url: 'http://a/b', types: [sidecar.promote]}]", "events[0].types[0]", "sidecar.promoted"),
        ("events: [{url: 'http://a', types: [sidecar.promoted, sidecar.promoted]}]", "events[0].types", "twice"),
        ("events: [{url: 'http://u:secret@a/'}]", "events[0].url", "is no address"),
        ("events: [{url: 'http://a', ca_file: x}]", "events[0].ca_file", "no effect"),
        ("events: [{url: 'https://a', ca_file: /nowhere}]", "events[0].ca_file", "cannot be read"),
        ("events: [{url: 'http://a'}, {url: 'http://a'}]", "events", "the same url"),
        ("audit: {keys: [{name: a}]}", "audit.keys[0].key_env", "key_file in its place"),
        ("audit: {keys: [{name: a, key_env: A, key_file: b}]}", "audit.keys[0].key_env", "key_file in its place"),
        ("audit: {keys: [{name: a, key_file: /nowhere}]}", "audit.keys[0].key_file", "cannot be read"),
        ("audit: {keys: [{name: a, key_env: A}, {name: a, key_env: B}]}", "audit.keys", "the same name"),
    ],
)
def test_what_could_not_work_is_a_fault_at_its_place(tmp_path: Path, text: str, key: str, says: str) -> None:
    ((at, said),) = faults(tmp_path, text)
    assert at == key
    assert says in said
    assert "secret@" not in said, "an address may hold a secret"


@pytest.mark.parametrize(
    "text",
    [
        "events: [{url: 'https://hooks.example.com/a/b?c=d', secret_env: S, types: [sidecar.promoted]}]",
        "events: [{url: 'http://[::1]:9000'}]",
        "audit: {keys: [{name: new, key_env: A}, {name: old, key_env: B}]}",
    ],
)
def test_what_works_is_taken(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text) == []
