"""The figures as text: one table, the targets, and what they must be read with. The same on the screen and in docs/."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.figures import Figure, Ratio, Spread


class Machine(msgspec.Struct, frozen=True):
    """Where and how it was measured. `elsewhere` is the share of the measured core that strangers took."""

    processor: str
    versions: str
    rounds: int
    seconds: int
    body_bytes: int
    elsewhere: Spread


def whole(
    machine: Machine, table: Sequence[Figure], ratios: Sequence[Ratio], idle: dict[str, int], most: dict[str, int]
) -> str:
    """Everything, as Markdown."""
    parts = [_how(machine), _table(table), _targets(ratios), _memory(idle, most), _honesty(machine, table)]
    return "\n\n".join(parts)


def document(text: str, picture: str) -> str:
    """The page for docs/."""
    return (
        "# Performance\n\n"
        "Written by `python -m bench --write-docs`; run it again rather than edit this.\n\n"
        f"![CPU per request]({picture})\n\n{text}\n"
    )


def _how(machine: Machine) -> str:
    return (
        f"CPU per request is (user + system time of the proxy's process) / requests: medians over {machine.rounds} "
        f"interleaved rounds of {machine.seconds} s, with least and most. wrk, one thread, 32 kept connections, sends "
        f"V2 requests of {machine.body_bytes} bytes as fast as they are answered; the model servers are nginx "
        "`return 200`. The proxy has one core, everything else shares another.\n\n"
        f"{machine.processor}; {machine.versions}."
    )


def _table(table: Sequence[Figure]) -> str:
    lines = [
        "| contender | CPU per request, µs | requests/s | copies | new connections per copy | captures dropped |",
        "|---|---|---|---|---|---|",
    ]
    for figure in table:
        mirrored = figure.copies > 0
        dropped = "–" if figure.capture_dropped is None else f"{figure.capture_dropped:.1%}"
        lines.append(
            f"| {figure.contender} | {_spread(figure.cpu_us, 1)} | {figure.requests_per_s:,.0f} "
            f"| {f'{min(1.0, figure.copies):.1%}' if mirrored else '–'} "
            f"| {f'{figure.new_connections:.2f}' if mirrored else '–'} | {dropped} |"
        )
    return "\n".join(lines)


def _targets(ratios: Sequence[Ratio]) -> str:
    lines = ["| CPU per request of | against | ratio | to reach | |", "|---|---|---|---|---|"]
    for ratio in ratios:
        target = ratio.target
        lines.append(
            f"| {target.contender} | {target.peer} | {_spread(ratio.reached, 2)} | ≤ {target.most:g} "
            f"| {'reached' if ratio.met else 'missed'} |"
        )
    return "\n".join(lines)


def _memory(idle: dict[str, int], most: dict[str, int]) -> str:
    lines = ["| resident memory, MiB | before load | most under load |", "|---|---|---|"]
    lines += [f"| {role} | {idle[role] / 2**20:.1f} | {most[role] / 2**20:.1f} |" for role in idle]
    return "\n".join(lines)


def _honesty(machine: Machine, table: Sequence[Figure]) -> str:
    errors = sum(figure.errors for figure in table)
    copies = sum(figure.copies_dropped for figure in table)
    return (
        "`control` is a whole `sidecar run`, its control process on the core of the load, folding what it can; "
        "exchanges above that are dropped and counted, and a dropped one costs the worker less. `reader` is the same "
        "worker with a reader in control's place that takes every exchange and forgets it. `no shadow` still captures. "
        "`no deployment` only forwards. `kept alive` is nginx with `proxy_store` to a file in memory; on a disk it "
        "costs several times as much.\n\n"
        f"Failed requests: {errors}. Copies dropped by the sidecar: {copies}. Other processes took "
        f"{machine.elsewhere.median:.0%} of the measured core ({machine.elsewhere.least:.0%} to "
        f"{machine.elsewhere.most:.0%}); above a few percent the machine was not quiet: "
        "then read the ratios, and those as rough."
    )


def _spread(value: Spread, digits: int) -> str:
    return f"{value.median:.{digits}f} ({value.least:.{digits}f}–{value.most:.{digits}f})"
