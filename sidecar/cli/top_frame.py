"""A look at a running sidecar as a picture for a terminal. Pure; `top` prints it."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.cli.answers import Alarm, Gates
from sidecar.cli.tables import share, text
from sidecar.cli.top_look import ChallengerLook, DeploymentLook, Look

_MOST_ALARMS = 8
_P99 = 0.99


def frame(found: Look, where: str, clock: str, stale: str | None = None) -> RenderableType:
    """`where`: the sidecar's address; `clock`: what it is o'clock; `stale`: why nothing newer is known."""
    head = Text.assemble(("sidecar ", "bold"), text(where), "  ", text(clock, "dim"))
    if stale is not None:
        head.append_text(text(f"  no answer: {stale}", "bold red"))
    elif found.waits is not None:
        head.append_text(text(f"  {found.waits}", "yellow"))
    parts: list[RenderableType] = [head, Text()]
    if not found.deployments:
        parts.append(text("no deployments; add one to the configuration"))
    else:
        parts.append(_table(found))
    parts += [Text(), *_alarms(found.alarms)]
    return Group(*parts)


def _table(found: Look) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=False)
    for column, right in (
        ("deployment", False), ("version", False), ("state", False), ("req/s", True), ("p99", True), ("errors", True),
        ("agree", True), ("pairs", True), ("gates", False),
    ):  # fmt: skip
        made.add_column(column, justify="right" if right else "left", overflow="fold")
    for each in found.deployments:
        opened = [alarm for alarm in found.alarms if alarm.deployment == each.status.name]
        made.add_row(*_champion(each, opened))
        for challenger in each.challengers:
            made.add_row(*_challenger(challenger))
        if not each.challengers:
            made.add_row("", text("no challenger", "dim"))
    return made


_STATES = {"watching": ("watched", "cyan"), "canary": ("canary", "cyan")}


def _champion(each: DeploymentLook, alarms: list[Alarm]) -> tuple[Text, ...]:
    status, traffic = each.status, each.traffic
    state = text(*_STATES.get(status.state, (status.state, "dim")))
    if alarms:
        worst = next((level for level in ("critical", "warning", "info") if _any(alarms, level)), "info")
        state = Text.assemble(text(worst), f" × {len(alarms)}" if len(alarms) > 1 else "")
    rate: Text | None = None
    slow: Text | None = None
    errors: Text | None = None
    if traffic is not None and each.span_s > 0:
        rate = Text(f"{traffic.requests / each.span_s:,.1f}")
        p99_s = traffic.quantile_s(_P99)
        slow = None if p99_s is None else Text(_milliseconds(1_000.0 * p99_s))
        if traffic.requests:
            errors = Text(f"{traffic.failed / traffic.requests:.2%}", style="bold red" if traffic.failed else "green")
    unknown = text(None)
    return (
        text(status.name, "bold"),
        text(f"{status.champion.version} champion", "bold"),
        state,
        rate or unknown,
        slow or unknown,
        errors or unknown,
        Text(),
        Text(),
        Text(),
    )


def _challenger(each: ChallengerLook) -> tuple[Text, ...]:
    found = each.comparison
    if isinstance(found, str):
        return (Text(), text(f"  {each.version}"), text(each.state), *(text(None),) * 5, _gates(each.gates))
    failed, p99 = sum(found.errors.values()), found.latency_ms.challenger.p99
    errors = Text(f"{failed / found.mirrored:.2%}", style="yellow" if failed else "") if found.mirrored else text(None)
    return (
        Text(),
        text(f"  {each.version}"),
        text(each.state),
        Text(),
        text(None) if p99 is None else Text(_milliseconds(p99)),
        errors,
        share(None if found.agreement is None else found.agreement.value),
        Text(f"{found.pairs:,}"),
        _gates(each.gates),
    )


def _gates(found: Gates | str) -> Text:
    """How many pass, and which do not: those that fail first."""
    if isinstance(found, str):
        return text(found, "dim")
    passed = sum(gate.verdict == "pass" for gate in found.gates)
    told = Text.assemble((f"{passed} pass", "green"))
    for verdict, says, style in (("fail", "fail", "bold red"), ("insufficient", "wait", "yellow")):
        names = [gate.name for gate in found.gates if gate.verdict == verdict]
        if names:
            told.append(" · ", style="dim").append_text(text(f"{len(names)} {says}: {', '.join(names)}", style))
    return told


def _alarms(alarms: tuple[Alarm, ...]) -> list[RenderableType]:
    if not alarms:
        return [Text("no alarms", style="green")]
    told: list[RenderableType] = []
    for alarm in alarms[:_MOST_ALARMS]:
        seen = text(" (acknowledged)", "dim") if alarm.acknowledged else Text()
        line = Text.assemble(text(alarm.severity), "  ", text(alarm.deployment, "bold"), "  ", text(alarm.says), seen)
        told += [line, Text.assemble("    ", text(alarm.action, "dim"))]
    if len(alarms) > _MOST_ALARMS:
        told.append(text(f"and {len(alarms) - _MOST_ALARMS} more: sidecar alarms", "dim"))
    return told


def _any(alarms: list[Alarm], severity: str) -> bool:
    return any(alarm.severity == severity for alarm in alarms)


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"
