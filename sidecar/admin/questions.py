"""The handlers of what is asked: deployments, comparisons, drift, gates, alarms, the record.

Keeps: a question changes nothing; each asks the service once and shapes the answer. Called through `api`'s table.
"""

from __future__ import annotations

from aiohttp import web

from sidecar.admin import answers, bodies
from sidecar.admin.call import deployment_of, json_answer
from sidecar.admin.service import Service
from sidecar.errors import Invalid

_AUDIT_LIMIT = 1000
_LABELS_LIMIT = 1000


class Questions:
    """One method per line of the table."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def deployments(self, request: web.Request) -> web.Response:
        """Every deployment."""
        bodies.query(request)
        return json_answer(answers.deployments(self._service.deployments(), self._service.waits()))

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        bodies.query(request)
        return json_answer(answers.deployment(self._service.deployment(deployment_of(request))))

    async def comparison(self, request: web.Request) -> web.Response:
        """Challenger beside champion."""
        name, challenger = deployment_of(request), bodies.query(request, "challenger").get("challenger")
        report, paired = self._service.comparison(name, challenger), self._service.paired(name, challenger)
        status = self._service.deployment(name)
        sole = status.challengers[0].version if len(status.challengers) == 1 else None
        return json_answer(answers.comparison(report, status.champion.version, challenger or sole, paired))

    async def drift(self, request: web.Request) -> web.Response:
        """Live inputs against the baseline."""
        match bodies.query(request, "against").get("against", "training"):
            case "training" | "recent" as against:
                return json_answer(answers.drift(self._service.drift(deployment_of(request), against)))
            case _:
                raise Invalid("against is training or recent.")

    async def features(self, request: web.Request) -> web.Response:
        """Live rows beside an offline pipeline's."""
        bodies.query(request)
        return json_answer(answers.row_skew(self._service.row_skew(deployment_of(request))))

    async def gates(self, request: web.Request) -> web.Response:
        """May the challenger take over."""
        challenger = bodies.query(request, "challenger").get("challenger")
        return json_answer(answers.gates(self._service.gates(deployment_of(request), challenger)))

    async def approvals(self, request: web.Request) -> web.Response:
        """Who agreed, and what still counts."""
        challenger = bodies.query(request, "challenger").get("challenger")
        return json_answer(answers.approvals(self._service.approvals(deployment_of(request), challenger)))

    async def canary(self, request: web.Request) -> web.Response:
        """How a canary stands."""
        bodies.query(request)
        return json_answer(answers.canary(self._service.canary(deployment_of(request))))

    async def champion(self, request: web.Request) -> web.Response:
        """Which version answered at a moment."""
        at = bodies.moment(bodies.query(request, "at"), "at")
        return json_answer(answers.champion_span(await self._service.champion_at(deployment_of(request), at)))

    async def performance(self, request: web.Request) -> web.Response:
        """Quality per version."""
        bodies.query(request)
        return json_answer(answers.performance(self._service.performance(deployment_of(request))))

    async def label_queue(self, request: web.Request) -> web.Response:
        """What to label next."""
        values = bodies.query(request, "challenger", "limit")
        limit = bodies.whole(values, "limit", 100, 1, _LABELS_LIMIT)
        wants = self._service.label_queue(deployment_of(request), values.get("challenger"), limit)
        return json_answer(answers.label_queue(wants))

    async def decision(self, request: web.Request) -> web.Response:
        """What was answered to one request."""
        bodies.query(request)
        return json_answer(answers.decision(await self._service.decision(request.match_info["request_id"])))

    async def alarms(self, request: web.Request) -> web.Response:
        """Open alarms first."""
        bodies.query(request)
        return json_answer({"items": [answers.alarm(alarm) for alarm in self._service.alarms()]})

    async def audit(self, request: web.Request) -> web.Response:
        """The trail, oldest first."""
        values = bodies.query(request, "after", "limit")
        after = bodies.whole(values, "after", 0, 0, 10**15)
        entries = await self._service.audit(after, bodies.whole(values, "limit", 100, 1, _AUDIT_LIMIT))
        return json_answer({"entries": [answers.audit_entry(entry) for entry in entries]})

    async def verify(self, request: web.Request) -> web.Response:
        """Whether the trail is whole."""
        bodies.query(request)
        return json_answer(await self._service.verify_audit())
