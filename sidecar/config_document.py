"""A YAML text as plain data that remembers on which line each key stands.

Only safe YAML: no tags, no merge keys, one document, text keys, each key once. Work is bounded, so that neither deep
nesting nor anchors that multiply can keep it busy. It knows nothing of settings and reads no file; it never repeats
a value in a remark, since the value may be a secret. Called by `config_file`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

DEPTH_LIMIT = 32
NODES_LIMIT = 50_000

Place = tuple[str | int, ...]
"""Where a value stands: keys and list indexes from the top."""

_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is wrong with the text itself. `line` counts from 1."""

    line: int
    place: Place
    says: str


@dataclass(frozen=True, slots=True)
class Document:
    """What was read. `complete` is False where the text could not be read to its end: then `data` means nothing."""

    data: dict[str, object]
    lines: dict[Place, int]
    remarks: tuple[Remark, ...]
    complete: bool

    def line(self, place: Place) -> int:
        """The line of the key at `place`, or of its nearest parent that is in the text."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class _TooMuch(yaml.MarkedYAMLError):
    """A bound of this module was reached."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, never objects; stops at the bounds."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += 1
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.depth > DEPTH_LIMIT:
            raise _TooMuch(problem=f"nested more than {DEPTH_LIMIT} deep", problem_mark=mark)
        if self.nodes > NODES_LIMIT:
            raise _TooMuch(problem=f"more than {NODES_LIMIT} values", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Walk:
    """Turns nodes into plain data; collects lines and remarks on the way."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._visited = 0
        self.lines: dict[Place, int] = {}
        self.remarks: list[Remark] = []

    def value(self, node: yaml.Node, place: Place, line: int) -> object:
        """The data under `node`. An alias is walked again at each use, hence the second count."""
        self._visited += 1
        if self._visited > NODES_LIMIT or len(place) > DEPTH_LIMIT:
            raise _TooMuch(problem="anchors and aliases that multiply too far", problem_mark=node.start_mark)
        self.lines[place] = line
        if isinstance(node, yaml.MappingNode):
            if node.tag != self._loader.DEFAULT_MAPPING_TAG:
                self._remark(node, place, "tags are not supported here")
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != self._loader.DEFAULT_SEQUENCE_TAG:
                self._remark(node, place, "tags are not supported here")
            return [self.value(n, (*place, i), n.start_mark.line + 1) for i, n in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                self._remark(key_node, place, "the merge key << is not supported: write the keys out")
            elif not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TEXT_TAG:
                self._remark(key_node, place, "a key is text: put it in quotes")
            elif key_node.value in found:
                first = self.lines[(*place, key_node.value)]
                self._remark(key_node, (*place, key_node.value), f"the key is given twice, first on line {first}")
            else:
                found[key_node.value] = self.value(value_node, (*place, key_node.value), line)
        return found

    def _scalar(self, node: Any, place: Place) -> object:
        plain = node.style is None
        if node.tag == _TEXT_TAG:
            return node.value
        implicit = self._loader.resolve(yaml.ScalarNode, node.value, (plain, not plain))  # type: ignore[no-untyped-call]
        if node.tag != implicit:
            self._remark(node, place, "tags are not supported here; text goes in quotes")
            return None
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            # A number of thousands of digits, or a date that is none.
            self._remark(node, place, "this value cannot be read; text goes in quotes")
            return None

    def _remark(self, node: yaml.Node, place: Place, says: str) -> None:
        self.remarks.append(Remark(node.start_mark.line + 1, place, says))


def read(text: str) -> Document:
    """Reads one document. Whatever is wrong with the text comes back as remarks; nothing is raised."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as fault:
        line = text.count("\n", 0, fault.position) + 1
        return _unreadable(line, "a control character, which YAML does not allow")
    try:
        return _read(loader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        return _unreadable(mark.line + 1 if mark else 1, _in_words(fault))
    finally:
        loader.dispose()


def _read(loader: _Loader) -> Document:
    if not loader.check_node():
        return Document(data={}, lines={(): 1}, remarks=(), complete=True)
    node: Any = loader.get_node()
    if loader.check_node():
        mark = loader.peek_event().start_mark  # type: ignore[no-untyped-call]
        return _unreadable(mark.line + 1, "a second document begins here; one file holds one")
    if isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~") and node.style is None:
        return Document(data={}, lines={(): 1}, remarks=(), complete=True)
    if not isinstance(node, yaml.MappingNode):
        return _unreadable(
            node.start_mark.line + 1, "the file must be a mapping of settings, such as `listen: HOST:PORT`"
        )
    walk = _Walk(loader)
    data = walk.value(node, (), node.start_mark.line + 1)
    return Document(
        data=data if isinstance(data, dict) else {}, lines=walk.lines, remarks=tuple(walk.remarks), complete=True
    )


def _unreadable(line: int, says: str) -> Document:
    return Document(data={}, lines={}, remarks=(Remark(line, (), says),), complete=False)


def _in_words(fault: yaml.MarkedYAMLError) -> str:
    problem = fault.problem or fault.context or "the text cannot be parsed"
    if isinstance(fault, _TooMuch):
        return f"{problem}; a configuration is not that large"
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces"
    if "alias" in problem:
        return "an alias without its anchor; text that begins with * goes in quotes"
    # PyYAML quotes what it found; more than one character of it may be part of a secret. Token names like
    # '<block end>' are its own words.
    return "not YAML: " + re.sub(r"'(?!<)[^']{2,}'", "something else", problem)
