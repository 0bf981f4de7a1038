"""Transcripts: who says what in which order, read from plain text. `in_memory` plays them.

    == H1 a length and a coding together
    with body_bytes=10 head
    C> POST /x HTTP/1.1\\r\\n          the caller sends
    >M POST /x HTTP/1.1\\r\\n          the model server has seen exactly this, and nothing else, since the last step
    M> HTTP/1.1 200 OK\\r\\n           the model server sends
    >C HTTP/1.1 200 OK\\r\\n           the caller has seen exactly this since the last step; >c: this, and perhaps more
    !! refused 400 malformed         see in_memory.Play

Lines of one kind are one step and are joined with nothing between them: every line end stands there as \\r\\n. Also
known: \\xHH, \\t, \\0, \\\\, and %{1000*abc} for a thousand times abc. The title's first word is the rule's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\([rnt0\\])")
_REPEAT = re.compile(rb"%\{(\d+)\*([^}]*)\}")
KINDS = ("C>", ">M", "M>", ">C", ">c", ">S", "S>")
_ONE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Step:
    """`kind` is C>, >M, M>, >C, >c, >S, S> (bytes) or !! (words)."""

    kind: str
    data: bytes = b""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """One case; `options` are the words after `with`."""

    title: str
    options: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def rule(self) -> str:
        return self.title.split(" ")[0]

    @property
    def longest(self) -> int:
        """How many bytes the longest thing said has: so many splits are there."""
        return max((len(step.data) for step in self.steps if step.kind in ("C>", "M>", "S>")), default=0)

    @property
    def counts(self) -> bool:
        """Whether it counts connections or copies, which are others when it is played again."""
        return any(step.words[:1] in (("connections",), ("copies",)) for step in self.steps)

    def after(self, *steps: Step, said: str) -> Transcript:
        """The same, with something before it."""
        return Transcript(f"{self.title} ({said})", self.options, (*steps, *self.steps))


def unescape(text: str) -> bytes:
    """The bytes that a line stands for."""
    repeated = _REPEAT.sub(lambda match: match[2] * int(match[1]), text.encode("latin-1"))
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)) if match[1] else _ONE[match[2]], repeated)


def read(name: str) -> list[Transcript]:
    """The transcripts of one file."""
    transcripts: list[Transcript] = []
    title = ""
    options: tuple[str, ...] = ()
    steps: list[Step] = []
    for line in [*(FOLDER / f"{name}.txt").read_text().splitlines(), "== "]:
        if line.startswith("== "):
            if title:
                transcripts.append(Transcript(title, options, tuple(steps)))
            title, options, steps = line[3:], (), []
        elif line.startswith("with "):
            options = tuple(line.split()[1:])
        elif line[:2] in KINDS and line[2:3] in ("", " "):
            if steps and steps[-1].kind == line[:2]:
                steps[-1] = Step(line[:2], steps[-1].data + unescape(line[3:]))
            else:
                steps.append(Step(line[:2], unescape(line[3:])))
        elif line.startswith("!! "):
            steps.append(Step("!!", words=tuple(line[3:].split())))
        elif line and not line.startswith("#"):
            raise ValueError(f"{name}: {line!r} is no line of a transcript")
    assert len({transcript.title for transcript in transcripts}) == len(transcripts), "two of the same title"
    return transcripts
