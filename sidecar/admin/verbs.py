"""The handlers of what is done: promotions, changes of the shadow, what is reported, what is acknowledged.

Keeps: each parses its body, asks the service once with the caller's name, and shapes the answer; it decides nothing.
Called through `api`'s table.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sidecar.admin import answers, bodies
from sidecar.admin.call import CALLER, deployment_of, json_answer
from sidecar.admin.service import Service
from sidecar.errors import Invalid
from sidecar.records import OfflineRow
from sidecar.wished import Wish


class Verbs:
    """One method per line of the table."""

    def __init__(self, service: Service, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock

    async def promote(self, request: web.Request) -> web.Response:
        """Through the gates."""
        return json_answer(await self._service.promote(deployment_of(request), await _wish(request)))

    async def override(self, request: web.Request) -> web.Response:
        """Past the gates."""
        return json_answer(await self._service.override(deployment_of(request), await _wish(request)))

    async def canary(self, request: web.Request) -> web.Response:
        """A share of the requests for a challenger, or none any more."""
        body = await bodies.read_body(request, bodies.Canary)
        name, actor, key = deployment_of(request), request[CALLER].name, bodies.idempotency_key(request)
        if body.abort:
            return json_answer(
                await self._service.stop_canary(
                    name,
                    body.challenger,
                    actor=actor,
                    reason=body.reason,
                    idempotency_key=key,
                    dry_run=body.dry_run,
                )
            )
        if body.challenger is None:
            raise Invalid("challenger: is required, the version that is to answer a share of the requests.")
        wish = Wish(
            body.challenger,
            actor,
            body.reason,
            body.expected_champion,
            body.evidence,
            body.force,
            dry_run=body.dry_run,
            idempotency_key=key,
        )
        return json_answer(await self._service.start_canary(name, wish))

    async def approve(self, request: web.Request) -> web.Response:
        """A person agrees, or does not any more."""
        body = await bodies.read_body(request, bodies.Approve)
        name, challenger, actor = deployment_of(request), body.challenger, request[CALLER].name
        if body.withdraw:
            return json_answer(await self._service.withdraw_approval(name, challenger, actor=actor, reason=body.reason))
        if body.evidence is None:
            raise Invalid("evidence: is required, the digest of the gate table that you have read.")
        return json_answer(
            await self._service.approve(name, challenger, evidence=body.evidence, actor=actor, reason=body.reason)
        )

    async def hold(self, request: web.Request) -> web.Response:
        """Whether the machine may promote a version."""
        body = await bodies.read_body(request, bodies.Hold)
        done = await self._service.hold(
            deployment_of(request), body.version, held=body.held, actor=request[CALLER].name, reason=body.reason
        )
        return json_answer(done)

    async def rollback(self, request: web.Request) -> web.Response:
        """Back, without gates."""
        body = await bodies.read_body(request, bodies.Rollback)
        done = await self._service.rollback(
            deployment_of(request),
            actor=request[CALLER].name,
            reason=body.reason,
            to=body.to,
            force=body.force,
            idempotency_key=bodies.idempotency_key(request),
        )
        return json_answer(done)

    async def set_challenger(self, request: web.Request) -> web.Response:
        """Adds or changes."""
        body = await bodies.read_challenger(request)
        version = request.match_info["version"]
        done = await self._service.set_challenger(
            deployment_of(request), version, body.settings, actor=request[CALLER].name, reason=body.reason
        )
        return json_answer(done)

    async def remove_challenger(self, request: web.Request) -> web.Response:
        """Removes."""
        body = await bodies.read_removal(request)
        version = request.match_info["version"]
        done = await self._service.remove_challenger(
            deployment_of(request), version, actor=request[CALLER].name, reason=body.reason
        )
        return json_answer(done)

    async def switch_shadow(self, request: web.Request) -> web.Response:
        """The kill switch."""
        body = await bodies.read_body(request, bodies.SwitchShadow)
        done = await self._service.switch_shadow(
            deployment_of(request), enabled=body.enabled, actor=request[CALLER].name, reason=body.reason
        )
        return json_answer(done)

    async def reconcile(self, request: web.Request) -> web.Response:
        """The registry's alias, put where we are."""
        body = await bodies.read_body(request, bodies.Reconcile)
        done = await self._service.reconcile(
            deployment_of(request),
            take=body.take,
            expected=body.expected,
            actor=request[CALLER].name,
            reason=body.reason,
        )
        return json_answer(done)

    async def freeze_reference(self, request: web.Request) -> web.Response:
        """What lies behind us is what drift is judged against from now on."""
        body = await bodies.read_body(request, bodies.FreezeReference)
        done = await self._service.freeze_reference(
            deployment_of(request), actor=request[CALLER].name, reason=body.reason
        )
        return json_answer(answers.reference(done))

    async def features(self, request: web.Request) -> web.Response:
        """Values that an offline pipeline computed, beside those that were live."""
        body = await bodies.read_body(request, bodies.PostedRows, bodies.FEATURES_BYTES)
        rows = [OfflineRow(posted.request_id, posted.row, posted.features) for posted in body.rows]
        return json_answer(await self._service.compare_rows(deployment_of(request), rows))

    async def outcomes(self, request: web.Request) -> web.Response:
        """Late truths."""
        body = await bodies.read_body(request, bodies.PostedOutcomes, bodies.OUTCOMES_BYTES)
        now = self._clock()
        return json_answer(await self._service.outcomes([posted.outcome_at(now) for posted in body.outcomes]))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """A person has seen it."""
        body = await bodies.read_body(request, bodies.Acknowledge)
        actor = request[CALLER].name
        alarm = await self._service.acknowledge(request.match_info["alarm"], actor=actor, reason=body.reason)
        return json_answer(answers.alarm(alarm))


async def _wish(request: web.Request) -> Wish:
    body = await bodies.read_body(request, bodies.Promote)
    return Wish(
        body.challenger,
        request[CALLER].name,
        body.reason,
        body.expected_champion,
        body.evidence,
        body.force,
        body.plan,
        dry_run=body.dry_run,
        idempotency_key=bodies.idempotency_key(request),
    )
