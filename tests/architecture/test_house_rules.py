"""House rules that no linter knows: file names and sizes, unfinished work, what may be caught, what may be called."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.source_trees import PACKAGES, ROOT, calls, modules, shown, tree

LINES = 350
# A file that may be longer. None may.
LONGER: frozenset[str] = frozenset()
NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core", "tools"})
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|NotImplemented\b")
SKIPPED = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b|unittest\.skip")
# The three borders behind which a fault may not travel on.
CATCH_ALL = frozenset({"sidecar/control/intake.py", "sidecar/admin/problems.py", "sidecar/proxy/rescue.py"})
PRINTING = ("sidecar/cli/", "sidecar/demo/", "sidecar/supervisor.py", "sidecar/app/")
BANNED = frozenset(
    {
        "eval", "exec", "compile", "input", "breakpoint", "__import__", "os.system", "os.popen",
        "pickle.loads", "pickle.load", "marshal.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    }
)  # fmt: skip
BANNED_MODULES = frozenset({"pickle", "marshal", "shelve", "requests", "dill", "joblib", "unittest.mock"})
CLOCKS = ("time.time", "time", "datetime.now")
SHELLS = (
    "sidecar/app/", "sidecar/cli/", "sidecar/demo/", "sidecar/proxy/", "sidecar/admin/", "sidecar/control/trail.py",
    "registry_client/directory.py", "registry_client/build.py",
)  # fmt: skip


def sources() -> list[Path]:
    return list(modules().values())


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_has_two_ideas() -> None:
    long = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}

    assert {name: lines for name, lines in long.items() if lines > LINES and name not in LONGER} == {}


def test_no_file_is_named_after_nothing() -> None:
    assert [named(path) for path in sources() if path.stem in NAMELESS or path.parent.name in NAMELESS] == []


def test_every_file_says_what_it_is_in_at_most_twelve_lines() -> None:
    said = {named(path): ast.get_docstring(tree(path)) or "" for path in sources()}

    assert [name for name, text in said.items() if not text or len(text.splitlines()) > 12] == []


def test_nothing_is_unfinished() -> None:
    files = [*sources(), *(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))]
    found = [
        shown(path, number)
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line) and not re.search(r"\.NotImplemented\b", line)
    ]
    assert found == []


def test_no_test_is_skipped() -> None:
    found = [
        shown(path, number)
        for path in (ROOT / "tests").rglob("*.py")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if SKIPPED.search(line)
    ]
    assert found == []


def test_whatever_comes_is_caught_at_the_named_borders_only() -> None:
    catching = set()
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "BaseException"
                reraised = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                if re.search(r"\b(Base)?Exception\b", caught) and not reraised:
                    catching.add(named(path))
    assert catching == CATCH_ALL


def test_no_statement_is_there_for_tests_alone() -> None:
    assert [shown(p, n.lineno) for p in sources() for n in ast.walk(tree(p)) if isinstance(n, ast.Assert)] == []


def test_only_those_who_speak_to_people_print() -> None:
    printing = [shown(path, line) for path in sources() for line, name in calls(path) if name == "print"]

    assert [place for place in printing if not place.startswith(PRINTING)] == []


def test_nothing_dangerous_is_called_or_imported() -> None:
    called = [f"{shown(path, line)} {name}" for path in sources() for line, name in calls(path) if name in BANNED]
    imported = [
        f"{shown(path, node.lineno)} {ast.unparse(node)}"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {node.module if isinstance(node, ast.ImportFrom) else alias.name for alias in node.names} & BANNED_MODULES
    ]
    assert called + imported == []


def test_a_wall_clock_is_read_in_shells_only() -> None:
    reading = [shown(path, line) for path in sources() for line, name in calls(path) if name in CLOCKS]

    assert [place for place in reading if not place.startswith(SHELLS)] == []


def test_every_task_is_kept() -> None:
    """The loop holds tasks weakly: one that nobody keeps may vanish in the middle (docs.python.org, create_task)."""
    thrown_away = [
        shown(path, node.lineno)
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith(("asyncio.create_task", "loop.create_task", "ensure_future"))
    ]
    assert thrown_away == []


def test_every_module_postpones_its_annotations() -> None:
    late = "from __future__ import annotations"
    code = [path for path in sources() if len(tree(path).body) > 2]

    assert [named(path) for path in code if late not in path.read_text(encoding="utf-8")] == []


def test_both_packages_are_read() -> None:
    assert {named(path).split("/")[0] for path in sources()} == set(PACKAGES)
