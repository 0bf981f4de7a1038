"""Named places in control at which a test can have it killed, so that what is on disk then can be looked at.

The product has no hooks for tests: the places are put around its functions in a process of the tests' own
(`nursery`), so nothing can be switched on where it runs in earnest. A file names the place; it is gone before the kill.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

HEAD, TABLE = ".audit-head.json.new", ".routing.msgpack.new"
# Place -> (module, function, whether it is before or after). In the order in which a transition comes by.
VERB_POINTS = {
    "before the transaction": ("sidecar.control.store", "Store.transition", "before"),
    "after the state's row": ("sidecar.control.store", "Store._move", "after"),
    "after the audit entry's row": ("sidecar.control.store", "Store._append", "after"),
    "after the outbox' row": ("sidecar.control.store", "Store._post", "after"),
    "after the receipt's row": ("sidecar.control.store", "Store._keep", "after"),
    "before the commit": ("", "", ""),
    "after the commit": ("sidecar.control.store", "Store._committed", "before"),
    "before the head's renaming": ("", "", ""),
    "after the head's renaming": ("", "", ""),
    "after the head": ("sidecar.control.store", "Store._committed", "after"),
    "before publication": ("sidecar.control.turns", "Turns.publish", "before"),
    "after the table's number": ("sidecar.control.publisher", "Publisher._next_serial", "after"),
    "after the workers were sent it": ("sidecar.control.intake", "Intake.publish", "after"),
    "before the table's renaming": ("", "", ""),
    "after the table's renaming": ("", "", ""),
    "before the outbox wakes": ("sidecar.control.outbox", "Outbox.wake", "before"),
    "before the registry is told": ("sidecar.control.write_back", "WriteBack.deliver", "before"),
    "after the registry was told": ("sidecar.control.write_back", "WriteBack.deliver", "after"),
    "after that was noted": ("sidecar.control.outbox", "Outbox._send", "after"),
    "before the answer": ("sidecar.control.desk", "Desk._announce", "after"),
}
# What people say of versions: an entry of the trail, and nothing else.
WORD_POINTS = {
    "before the word's transaction": ("sidecar.control.store", "Store.record", "before"),
    "after the word's row": ("sidecar.control.store", "Store._append", "after"),
    "after the word's commit": ("sidecar.control.store", "Store.record", "after"),
}
ROUND_POINTS = {
    "before the snapshots": ("sidecar.control.carryover", "Carryover.save_snapshots", "before"),
    "after the snapshots": ("sidecar.control.carryover", "Carryover.save_snapshots", "after"),
}
OUTCOME_POINTS = {
    "before the outcomes' transaction": ("sidecar.control.decisions", "settle_all", "before"),
    "after the outcomes' rows": ("sidecar.control.decisions", "settle_all", "after"),
    "before the outcomes count": ("sidecar.control.watch", "DeploymentWatch.fold_joined", "before"),
}
_RENAMED = {HEAD: "the head's renaming", TABLE: "the table's renaming"}


class Places:
    """Armed by a file that holds a place's name."""

    def __init__(self, armed: Path) -> None:
        self._armed = armed
        self._moving = 0

    def reached(self, place: str) -> None:
        """Ends the process if this is where it shall end."""
        try:
            wanted = self._armed.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if wanted == place:
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self) -> None:
        """Puts every place where it belongs."""
        for place, (module, function, side) in (VERB_POINTS | WORD_POINTS | ROUND_POINTS | OUTCOME_POINTS).items():
            if module:
                self._around(place, module, function, side)
        self._around_renaming()
        self._before_commit()

    def _around(self, place: str, module: str, function: str, side: str) -> None:
        holder: Any = import_module(module)
        *path, name = function.split(".")
        for step in path:
            holder = getattr(holder, step)
        setattr(holder, name, self._wrapped(getattr(holder, name), place, side))

    def _wrapped(self, inner: Callable[..., Any], place: str, side: str) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(inner):

            @functools.wraps(inner)
            async def waited(*given: Any, **named: Any) -> Any:
                if side == "before":
                    self.reached(place)
                answer = await inner(*given, **named)
                if side == "after":
                    self.reached(place)
                return answer

            return waited

        @functools.wraps(inner)
        def called(*given: Any, **named: Any) -> Any:
            if side == "before":
                self.reached(place)
            answer = inner(*given, **named)
            if side == "after":
                self.reached(place)
            return answer

        return called

    def _around_renaming(self) -> None:
        inner = Path.replace

        def replace(path: Path, target: Any) -> Path:
            place = _RENAMED.get(path.name)
            if place is not None:
                self.reached(f"before {place}")
            moved = inner(path, target)
            if place is not None:
                self.reached(f"after {place}")
            return moved

        setattr(Path, "replace", replace)  # noqa: B010  types cannot say that it is the same

    def _before_commit(self) -> None:
        """Of a transition: other transactions are committed all the time."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        from sidecar.control.store import Store

        inner = Store.transition

        @functools.wraps(inner)
        async def transition(store: Store, *given: Any, **named: Any) -> Any:
            self._moving += 1
            try:
                return await inner(store, *given, **named)
            finally:
                self._moving -= 1

        setattr(Store, "transition", transition)  # noqa: B010  types cannot say that it is the same

        @event.listens_for(Engine, "commit")
        def commit(_connection: object) -> None:
            if self._moving:
                self.reached("before the commit")
