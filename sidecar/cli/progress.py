"""How far long work is: a bar where the end is known, a turning mark where it is not, and nothing in a pipe.

Keeps: on standard error only, and gone when the work is done, so that output is the same with it and without.
Called by the commands that may take longer than a breath.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[int, int], None]


@contextmanager
def bar(says: str) -> Iterator[Tell | None]:
    """Hands out what is told (done, total); None in a pipe, for whoever counts only to tell."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from sidecar.cli.tables import console  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(err=True), transient=True) as shown:
        task = shown.add_task(says, total=None)

        def tell(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, description=f"{says}: {done:,} of {total:,}")

        yield tell


@contextmanager
def working(says: str) -> Iterator[None]:
    """Turns while somebody else works."""
    if not sys.stderr.isatty():
        yield
        return
    from sidecar.cli.tables import console  # noqa: PLC0415

    with console(err=True).status(f"{says} …"):
        yield
