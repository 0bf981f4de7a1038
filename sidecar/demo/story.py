"""The story, step by step: shadow, evidence, promotion, a broken feed, its cause named, rollback, and the record.

Every step is verified through the admin API, as a person would see it; a step that does not come true ends the demo
with exit code 1 and says which.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from sidecar.demo.stage import CHALLENGER, CHAMPION, MODEL, StageFault, standing
from sidecar.demo.traffic import Traffic

Api = dict[str, Any]
_LOOK_S = 0.5


class NotSo(Exception):
    """A step of the story did not come true in time."""


class Story:
    """The steps, on a stage that stands. `patience_s` is how long a person is waited for before the demo does it."""

    def __init__(self, session: aiohttp.ClientSession, admin_url: str, traffic: Traffic, patience_s: float) -> None:
        self._session = session
        self._admin = admin_url
        self._traffic = traffic
        self._patience_s = patience_s
        self._one = f"/v1/deployments/{MODEL}"

    async def play(self) -> None:
        """All of it."""
        await self._shadowing()
        await self._gates_pass()
        await self._promoted()
        await self._feed_breaks()
        await self._rolled_back()
        await self._recorded()

    async def _shadowing(self) -> None:
        async def mirrored() -> str | None:
            seen = await self._get(f"{self._one}/comparison")
            if seen["pairs"] < 100:
                return None
            agreement = seen["agreement"]["value"]
            return f"version {CHALLENGER} shadows {CHAMPION}: {seen['pairs']} pairs, agreement {agreement:.3f}"

        await self._until("copies arrive and their answers are joined", 30, mirrored)

    async def _gates_pass(self) -> None:
        async def passed() -> str | None:
            table = await self._get(f"{self._one}/gates")
            if table["verdict"] != "pass":
                return None
            outcome = next(gate for gate in table["gates"] if gate["name"] == "outcome")
            return f"late outcomes came in and every gate passes ({outcome['n']} rows judged: {outcome['detail']})"

        await self._until("the gates pass", 60, passed)

    async def _promoted(self) -> None:
        await self._for_a_person(f"promote version {CHALLENGER} on the dashboard", self._champion_is(CHALLENGER))
        if not await self._champion_is(CHALLENGER)():
            body = {"challenger": CHALLENGER, "reason": "demo: every gate passes", "expected_champion": CHAMPION}
            await self._post(f"{self._one}/promote", body)

        async def promoted() -> str | None:
            status = await self._get(self._one)
            shadows = [c["version"] for c in status["challengers"] if c["health"] == "healthy"]
            if status["champion"]["version"] != CHALLENGER or CHAMPION not in shadows:
                return None
            return (
                f"version {CHALLENGER} is the champion (generation {status['generation']}), {CHAMPION} keeps shadowing"
            )

        await self._until("the promotion stands and the old champion shadows", 20, promoted)
        # Its own baseline is watched from now on; a few seconds of healthy traffic first.
        await asyncio.sleep(4)

    async def _feed_breaks(self) -> None:
        self._traffic.in_euros = True
        self._say("the feed of `amount` silently changes from cents to euros")

        async def named() -> str | None:
            drift = await self._get(f"{self._one}/drift")
            amount = next(feature for feature in drift["features"] if feature["name"] == "amount")
            alarms = (await self._get("/v1/alarms"))["items"]
            broken = [a for a in alarms if a["kind"] == "data.broken" and "amount" in a["says"]]
            cause = amount["cause"]
            if not broken or cause is None or cause["kind"] != "scale" or abs(cause["factor"] - 0.01) > 1e-9:
                return None
            if "do not retrain" not in broken[0]["action"]:
                return None
            return f"alarm {broken[0]['kind']}: {broken[0]['says']}. {broken[0]['action']}"

        await self._until("the alarm names the cause (×0.01)", 40, named)
        blocked = await self._get(f"{self._one}/gates")
        if blocked["verdict"] == "pass":
            raise NotSo("the gates pass although the inputs are broken")
        self._say("meanwhile no gate table passes: evidence from a broken feed is void")

    async def _rolled_back(self) -> None:
        await self._for_a_person("roll back on the dashboard", self._champion_is(CHAMPION))
        if not await self._champion_is(CHAMPION)():
            await self._post(f"{self._one}/rollback", {"reason": "demo: amount arrives in euros"})

        async def back() -> str | None:
            status = await self._get(self._one)
            if status["champion"]["version"] != CHAMPION:
                return None
            return f"one call rolled back to version {CHAMPION} (generation {status['generation']})"

        await self._until("the rollback stands", 20, back)
        self._traffic.in_euros = False

    async def _recorded(self) -> None:
        async def verified() -> str | None:
            check = await self._get("/v1/audit/verify")
            entries = (await self._get("/v1/audit"))["entries"]
            done = [entry["action"] for entry in entries]
            if not check["ok"] or done.count("promote") != 1 or done.count("rollback") != 1:
                return None
            return f"audit verify: {check['entries']} entries, unbroken, head {check['head'][:19]}…"

        await self._until("the audit trail holds", 10, verified)
        if self._traffic.failed:
            raise NotSo(f"{self._traffic.failed} of {self._traffic.sent} callers' requests failed")
        self._say(f"{self._traffic.sent} payments were scored, none failed")

    # --- telling, waiting, asking ----------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        print(f"  ✓ {line}", flush=True)

    async def _until(self, what: str, within_s: float, look: Callable[[], Awaitable[str | None]]) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while (said := await look()) is None:
            if asyncio.get_running_loop().time() > deadline:
                raise NotSo(f"not within {within_s:.0f} s: {what}")
            await asyncio.sleep(_LOOK_S)
        self._say(said)

    async def _for_a_person(self, ask: str, done: Callable[[], Awaitable[bool]]) -> None:
        if not self._patience_s:
            return
        print(f"  … {ask}; in {self._patience_s:.0f} s the demo does it", flush=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while not await done():  # noqa: ASYNC110  a person does it, elsewhere
                    await asyncio.sleep(_LOOK_S)

    def _champion_is(self, version: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return bool((await self._get(self._one))["champion"]["version"] == version)

        return look

    async def _get(self, path: str) -> Api:
        async with self._session.get(self._admin + path) as answer:
            return await self._read(answer)

    async def _post(self, path: str, body: dict[str, str]) -> Api:
        async with self._session.post(self._admin + path, json=body) as answer:
            return await self._read(answer)

    async def _read(self, answer: aiohttp.ClientResponse) -> Api:
        document: Api = await answer.json()
        if answer.status != 200:
            raise NotSo(f"{answer.method} {answer.url.path} answered {answer.status}: {document.get('detail')}")
        return document


async def _demo(*, once: bool, port: int, admin_port: int) -> int:
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as folder:
        async with standing(Path(folder), port, admin_port) as (data_url, admin_url):
            print(f"Dashboard: {admin_url}/", flush=True)
            print(f"Payments are scored at {data_url}/v2/models/{MODEL}/infer by version {CHAMPION}", flush=True)
            traffic = Traffic(data_url, admin_url, rate_per_s=250 if once else 100)
            sending = asyncio.create_task(traffic.run(), name="traffic")
            playing = asyncio.create_task(_play(admin_url, traffic, once=once), name="story")
            try:
                # Traffic ends only by a fault, and then the story would wait in vain.
                await asyncio.wait({sending, playing}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    raise NotSo("the traffic ended") from sending.exception()
                await playing
                if not once:
                    print("The story is told; traffic goes on until Ctrl-C.", flush=True)
                    await sending
            finally:
                playing.cancel()
                sending.cancel()
                await asyncio.gather(sending, playing, return_exceptions=True)
    return 0


async def _play(admin_url: str, traffic: Traffic, *, once: bool) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        await Story(session, admin_url, traffic, patience_s=0 if once else 60).play()


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    """Runs it; SIGTERM and a closed terminal end it as Ctrl-C does, so that no part of the stage is left behind."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


def main(*, once: bool, port: int, admin_port: int) -> int:
    """The process behind `sidecar demo`. 0 when every step came true, 1 with the step that did not."""
    try:
        return asyncio.run(_until_told(_demo(once=once, port=port, admin_port=admin_port)))
    except (NotSo, StageFault, aiohttp.ClientError, OSError) as fault:
        print(f"sidecar demo: {fault}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1 if once else 0  # told to end: without --once that is how it ends
