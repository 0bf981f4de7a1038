"""Imports go down only: who may know of whom, read from the syntax trees."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source_trees import imports, modules

FOUNDATION = frozenset(
    {
        "records", "reports", "version_reports", "address", "errors", "standing", "recorded", "json_path",
        "config", "config_values", "config_versions", "config_gates", "config_registry", "config_events",
        "config_comparison", "config_admin", "config_promotion", "config_tls", "agreed", "canary", "watched", "wished",
        "",
    }
)  # fmt: skip
# Room -> the rooms that it may import, besides itself and the foundation. "" is the package `sidecar` itself.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "wire": frozenset(),
    "payload": frozenset(),
    "stats": frozenset(),
    "observe": frozenset({"stats", "payload"}),
    "decide": frozenset({"stats"}),
    "decision_report": frozenset({"decide"}),
    "telemetry": frozenset(),
    "proxy": frozenset({"wire", "decide", "telemetry"}),
    "control": frozenset({"wire", "payload", "stats", "observe", "decide", "decision_report", "telemetry"}),
    "admin": frozenset({"telemetry"}),
    "model_server": frozenset(),
    "config_document": frozenset(),
    "config_faults": frozenset({"config_document"}),
    "config_rules": frozenset({"config_document"}),
    "config_egress": frozenset(),
    "config_file": frozenset({"config_document", "config_egress", "config_faults", "config_rules"}),
    "app": frozenset(
        {
            "config_file",
            "config_rules",
            "wire",
            "payload",
            "stats",
            "observe",
            "decide",
            "decision_report",
            "telemetry",
            "proxy",
            "control",
            "admin",
            "model_server",
        }
    ),
    "supervisor": frozenset({"app", "config_file", "decide", "telemetry"}),
    "demo": frozenset({"model_server"}),
    "cli": frozenset({"config_file", "control", "model_server", "supervisor", "demo"}),
}
# The only edges besides: a baseline's cells are the ruler that its builder and its watchers share.
MAY_IMPORT_THE_REGISTRY = frozenset({"observe", "decide", "telemetry", "control", "app", "cli", "demo", "payload"})
PURE = frozenset(
    {
        "wire",
        "payload",
        "stats",
        "observe",
        "decide",
        "decision_report",
        "records",
        "reports",
        "version_reports",
        "standing",
        "recorded",
        "agreed",
        "canary",
        "errors",
        "address",
        "json_path",
    }
)
OUTSIDE_THE_PURE = frozenset(
    {
        "asyncio",
        "aiohttp",
        "sqlite3",
        "sqlalchemy",
        "socket",
        "time",
        "random",
        "logging",
        "os",
        "threading",
        "subprocess",
    }
)
NEVER_IN_A_WORKER = (
    "numpy",
    "pydantic",
    "sqlalchemy",
    "aiohttp",
    "scipy",
    "yaml",
    "orjson",
    "prometheus_client",
    "click",
    "rich",
)


def room(module: str) -> str:
    """The part of the house: `sidecar.proxy.link` is in `proxy`, `sidecar.supervisor` is its own, `sidecar` is ""."""
    return [*module.split("."), ""][1]


def edges() -> list[tuple[str, str]]:
    own = modules()
    return [
        (module, imported)
        for module, path in own.items()
        for imported in sorted(imports(path))
        if imported.split(".")[0] in ("sidecar", "registry_client")
    ]


def test_the_trees_are_read() -> None:
    assert ("sidecar.app.worker", "sidecar.proxy.listener") in edges()
    assert len(edges()) > 200


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in modules() if module.startswith("sidecar")}

    assert rooms - FOUNDATION == set(MAY_IMPORT)


def test_imports_go_down_only() -> None:
    wrong = []
    for module, imported in edges():
        if not module.startswith("sidecar") or not imported.startswith("sidecar"):
            continue
        here, there = room(module), room(imported)
        if here in FOUNDATION:
            allowed = there in FOUNDATION
        else:
            allowed = there == here or there in FOUNDATION or there in MAY_IMPORT[here]
        if not allowed:
            wrong.append(f"{module} -> {imported}")
    assert wrong == []


def test_the_order_has_no_circle() -> None:
    seen: list[str] = []

    def visit(here: str, path: tuple[str, ...]) -> None:
        assert here not in path, " -> ".join((*path, here))
        for there in sorted(MAY_IMPORT[here]):
            visit(there, (*path, here))
        seen.append(here)

    for start in MAY_IMPORT:
        visit(start, ())
    assert set(seen) == set(MAY_IMPORT)


def test_settings_are_known_to_the_control_side_only() -> None:
    """A worker, a model server and the formats know no settings: what they need is handed to them."""
    without = {"wire", "payload", "stats", "proxy", "model_server"}
    wrong = [f"{m} -> {i}" for m, i in edges() if i == "sidecar.config" and room(m) in without]

    assert wrong == []


def test_the_registry_client_never_imports_the_sidecar() -> None:
    assert [edge for edge in edges() if edge[0].startswith("registry_client") and edge[1].startswith("sidecar")] == []


def test_only_the_control_side_knows_the_registry() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, imported in edges()
        if module.startswith("sidecar")
        and imported.startswith("registry_client")
        and room(module) not in MAY_IMPORT_THE_REGISTRY
    ]
    assert wrong == []


def test_pure_packages_import_neither_loop_nor_clock_nor_file_nor_chance() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, path in modules().items()
        if module.startswith("sidecar") and room(module) in PURE
        for imported in sorted(imports(path))
        if imported.split(".")[0] in OUTSIDE_THE_PURE
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sidecar.app.worker", NEVER_IN_A_WORKER),
        ("sidecar.supervisor", NEVER_IN_A_WORKER),
        ("sidecar.cli", ("numpy", "pydantic", "sqlalchemy", "aiohttp", "scipy", "yaml", "rich", "asyncio")),
        ("sidecar.cli.process", ("numpy", "sqlalchemy", "aiohttp", "scipy", "onnxruntime")),
        ("sidecar.app.control", ("onnxruntime", "duckdb", "uvloop", "httptools")),
        ("registry_client", ("sidecar", "sqlalchemy", "pydantic", "onnxruntime", "duckdb")),
    ],
)
def test_a_process_loads_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(name for name in {absent!r} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)

    assert found.stdout.split() == []
