"""A page as its tags, attributes and words, for the dashboard's tests; one that closes a tag wrongly is refused."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "line", "circle"}


class Page(HTMLParser):
    """Collects tags and attributes, and fails on a tag that was never closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html.strip().removeprefix("<!doctype html>"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.extend(data.split())

    @property
    def text(self) -> str:
        """All words, a space between."""
        return " ".join(self.words)

    def links(self) -> set[str]:
        """Where its links lead."""
        return {attributes["href"] or "" for tag, attributes in self.tags if tag == "a"}
