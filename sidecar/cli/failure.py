"""A command that cannot do what it was asked: one plain sentence that says what to do, and an exit code.

Raised anywhere under `cli`; shown once, by `group`.
"""

from __future__ import annotations

from typing import IO, Any

import click


class CommandFailed(click.ClickException):
    """The message goes to standard error as it is; the command ends with 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the sentence, without what a terminal would obey."""
        click.echo(printable(self.message), file=file, err=file is None)


class CommandRefused(CommandFailed):
    """The sidecar understood, and the answer is no; the command ends with 1."""

    exit_code = 1


def printable(text: str) -> str:
    """Text from elsewhere as one harmless line each: control characters and escapes are spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
