"""The project's own modules as syntax trees: what each imports, what it calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("sidecar", "registry_client")


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path, *, at_run_time: bool = False) -> set[str]:
    """The dotted names that a file imports, anywhere in it; `at_run_time`: without those for type checkers."""
    found: set[str] = set()
    for node in _walk(tree(path), at_run_time=at_run_time):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: relative imports hide where an edge goes"
            # `from sidecar.stats import psi` is an edge to the module psi, not only to its package.
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = named & modules().keys()
            found |= inner or {node.module}
    return found


def _walk(node: ast.AST, *, at_run_time: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if at_run_time and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk(other, at_run_time=True)
            continue
        yield child
        yield from _walk(child, at_run_time=at_run_time)


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file calls."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def shown(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"
