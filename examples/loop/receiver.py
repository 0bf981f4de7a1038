"""Takes the sidecar's events and starts the training script: what an orchestrator would do.

Keeps: an event counts only with a fresh signature of our secret, and once, by its id, since deliveries may repeat; it
is answered at once, the training runs afterwards. A second recommendation while one is trained waits.
`script` is what is started, with the event's file, the warehouse and the registry's address behind it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

RETRAIN = "sidecar.retrain.recommended"
_FRESH_S = 300.0


class Receiver:
    """The endpoint and what came. `told` is called with each event once; `trained` with what the script said."""

    def __init__(
        self,
        folder: Path,
        secret: str,
        registry_uri: str,
        told: Callable[[dict[str, Any]], None],
        trained: Callable[[dict[str, Any]], None],
        script: tuple[str, ...] = (sys.executable, "-m", "examples.loop.train"),
    ) -> None:
        self.warehouse = folder / "warehouse.jsonl"
        self._folder = folder
        self._secret = secret.encode()
        self._registry_uri = registry_uri
        self._told = told
        self._trained = trained
        self._script = script
        self._known: set[str] = set()
        self._due: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        """One delivery: 401 for what is not ours, 202 for the rest, also when it came before."""
        body = await request.read()
        if not self._ours(request, body):
            return web.Response(status=401)
        event = json.loads(body)
        if event["id"] not in self._known:
            self._known.add(event["id"])
            self._told(event)
            if event["type"] == RETRAIN:
                self._due.put_nowait(event)
        return web.Response(status=202)

    async def run(self) -> None:
        """Trains, one after the other, until cancelled."""
        while True:
            event = await self._due.get()
            file = self._folder / f"{event['id']}.json"
            file.write_text(json.dumps(event), encoding="utf-8")
            arguments = (*self._script, str(file), str(self.warehouse), self._registry_uri)
            process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
            said, _ = await process.communicate()
            self._trained(json.loads(said) if process.returncode == 0 else {"failed": process.returncode})

    def _ours(self, request: web.Request, body: bytes) -> bool:
        """Standard Webhooks: `v1,` and Base64 of HMAC-SHA256 over id, timestamp and body."""
        told, at = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        if not (at.isascii() and at.isdigit() and abs(time.time() - int(at)) < _FRESH_S):
            return False
        content = b".".join((told.encode(), at.encode(), body))
        expected = base64.b64encode(hmac.new(self._secret, content, hashlib.sha256).digest()).decode()
        return hmac.compare_digest(request.headers.get("webhook-signature", ""), f"v1,{expected}")
