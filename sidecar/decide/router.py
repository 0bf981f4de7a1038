"""Finds what serves a path: exact ones first, then the longest prefix. Made anew with every routing table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from sidecar.decide.routing_table import Route

T = TypeVar("T")


class Router(Generic[T]):
    """Routes, and what each of them leads to."""

    def __init__(self, routes: Iterable[tuple[Route, T]]) -> None:
        self._exact: dict[bytes, T] = {}
        self._prefixes: list[tuple[bytes, T]] = []
        for route, served in routes:
            if route.prefix:
                self._prefixes.append((route.match.encode(), served))
            else:
                self._exact[route.match.encode()] = served
        self._prefixes.sort(key=lambda item: -len(item[0]))

    def find(self, path: bytes) -> T | None:
        """What serves a path without its query, or None."""
        served = self._exact.get(path)
        if served is not None:
            return served
        for prefix, candidate in self._prefixes:
            if path.startswith(prefix):
                return candidate
        return None
