"""The report as one page of HTML that needs nothing else: no script, no other file, no host.

Keeps: every text from elsewhere goes through Markup's escaping; the page forbids itself by its own policy whatever it
does not hold (the style is allowed by its digest), so that it is as harmless from a mail as from the admin API.
Does not: know numbers (`wording`), or draw (`plots`). Called by control.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator

from markupsafe import Markup

from sidecar.decision_report import plots
from sidecar.decision_report.facts import DecisionReport
from sidecar.decision_report.wording import counts, metrics, moment, number, outcomes, plain, proof, summary, title
from sidecar.reports import ComparisonReport, GateVerdict, PairedQuality

STYLE = """
:root { color-scheme: light; --ink: #1d1d1f; --soft: #5d5d66; --line: #dcdbd6; --accent: #3b4cca; --good: #17724a;
  --warn: #8a5300; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
  sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
main { max-width: 800px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 36px 0 10px; padding-bottom: 6px; border-bottom: 1px solid var(--line); }
h3 { font-size: 14px; margin: 20px 0 6px; color: var(--soft); font-weight: 600; }
.sub { color: var(--soft); margin: 0 0 20px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; color: var(--soft); width: 30%; }
td.n, th.n, td.k { text-align: right; } td.n, th.n { max-width: 130px; } td.k { white-space: nowrap; }
td { overflow-wrap: anywhere; } td:first-child { overflow-wrap: break-word; }
.verdict { font-weight: 650; white-space: nowrap; }
.pass { color: var(--good); } .fail { color: var(--bad); } .insufficient { color: var(--warn); }
.off { color: var(--soft); }
code { font: 12.5px/1.45 ui-monospace, Menlo, Consolas, monospace; }
svg { display: block; width: 100%; height: auto; margin: 6px 0 2px; }
svg text { font: 12px system-ui, "Segoe UI", Roboto, sans-serif; fill: var(--soft); }
.bar { fill: #9aa3b8; } rect.good { fill: #4f9d78; } rect.bad { fill: #c9665f; }
.axis { stroke: var(--line); stroke-width: 2; } .whisker { stroke: var(--accent); stroke-width: 6;
  stroke-linecap: round; opacity: .35; }
.dot { fill: var(--accent); } .required { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
@page { margin: 18mm; }
@media print { main { padding: 0; max-width: none; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; } }
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"
_WORDS = {"pass": "✓ pass", "fail": "✗ fail", "insufficient": "… insufficient", "off": "off"}
_CODES = frozenset({"Evidence", "Baseline", "Its hash", "Hash before"})


def as_page(report: DecisionReport) -> str:
    """The whole document."""
    frame = Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        "<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    body = Markup("\n").join(_body(report))
    return str(frame.format(policy=POLICY, title=title(report), style=Markup(STYLE), body=body))  # noqa: S704  ours


def _body(report: DecisionReport) -> Iterator[Markup]:
    yield Markup('<header><h1>{}</h1><p class="sub">Decision report · {}</p></header>').format(
        title(report), moment(report.entry.at)
    )
    yield _facts(summary(report))
    if report.gates:
        yield Markup('<h2>Gates: <span class="verdict {0}">{0}</span></h2>').format(report.verdict or "not known")
        yield _gates(report.gates)
    if report.approvals:
        yield Markup("<h2>Approvals</h2>")
        yield _rows(
            [", ".join(f"{plain(name)}: {plain(text)}" for name, text in each.items())] for each in report.approvals
        )
    if report.evidence is not None:
        yield from _evidence(report.evidence.evidence.comparison, report.evidence.evidence.quality, report.gates)
    yield from _lineage(report)
    if report.others:
        yield Markup("<h2>Further details</h2>")
        yield _facts((plain(name), plain(text)) for name, text in sorted(report.others.items()))
    yield Markup("<h2>Proof</h2>")
    yield _facts(proof(report))
    yield Markup(
        "<footer><p>Made from the audit trail. It is tamper-evident: compare its head with one that was kept elsewhere,"
        " by <code>sidecar audit verify --head FILE</code>.</p></footer>"
    )


def _gates(gates: Iterable[GateVerdict]) -> Markup:
    row = Markup(
        '<tr><td>{}</td><td class="verdict {}">{}</td><td class="n">{}</td><td class="n">{}</td><td class="k">{}</td>'
        "<td>{}</td></tr>"
    )
    rows = Markup().join(
        row.format(
            plain(g.name),
            g.verdict,
            _WORDS[g.verdict],
            number(g.observed),
            number(g.required),
            number(g.n),
            plain(g.detail),
        )
        for g in gates
    )
    return Markup(
        '<table><thead><tr><th>Gate</th><th>Verdict</th><th class="n">Observed</th><th class="n">Required</th>'
        '<th class="n">n</th><th>Why</th></tr></thead><tbody>{}</tbody></table>'
    ).format(rows)


def _evidence(
    comparison: ComparisonReport, quality: PairedQuality | None, gates: Iterable[GateVerdict]
) -> Iterator[Markup]:
    yield Markup("<h2>Challenger beside champion</h2>")
    yield _facts(counts(comparison))
    if comparison.agreement is not None:
        yield _plot("Agreement", plots.agreement(comparison.agreement, _required(gates, "agreement")))
    histogram = plots.differences(comparison.difference_histogram)
    if histogram is not None:
        yield _plot("Challenger's score less champion's", histogram)
    elif comparison.score_difference is not None:
        yield _plot("Score difference", plots.spread(comparison.score_difference))
    yield _plot("Copies", plots.copies(comparison))
    times = plots.latency(comparison)
    if times is not None:
        yield _plot("Latency on the same requests", times)
    if quality is not None:
        yield Markup("<h2>Outcomes</h2>")
        yield _facts(outcomes(quality))
        yield _plot("Rows that tell the two apart", plots.outcomes(quality))
        found = tuple(metrics(quality))
        if found:
            yield _rows(found, ("Metric", "Champion", "Challenger"))


def _lineage(report: DecisionReport) -> Iterator[Markup]:
    fields = sorted({*report.lineage, *report.lineage_before})
    if fields:
        yield Markup("<h2>Lineage, as the registry told it then</h2>")
        entry = report.entry
        rows = [
            (plain(name), plain(report.lineage_before.get(name, "–")), plain(report.lineage.get(name, "–")))
            for name in fields
        ]
        heads = ("", f"Former: {plain(entry.from_version or '–')}", f"New: {plain(entry.to_version or '–')}")
        yield _rows(rows, heads)


def _facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    row, code = Markup("<tr><th>{}</th><td>{}</td></tr>"), Markup("<code>{}</code>")
    rows = Markup().join(row.format(name, code.format(text) if name in _CODES else text) for name, text in pairs)
    return Markup("<table><tbody>{}</tbody></table>").format(rows)


def _rows(rows: Iterable[Iterable[str]], heads: Iterable[str] = ()) -> Markup:
    cell, line = Markup("<td>{}</td>"), Markup("<tr>{}</tr>")
    body = Markup().join(line.format(Markup().join(cell.format(text) for text in row)) for row in rows)
    head = Markup().join(Markup("<th>{}</th>").format(text) for text in heads)
    top = Markup("<thead><tr>{}</tr></thead>").format(head) if head else Markup()
    return Markup("<table>{}<tbody>{}</tbody></table>").format(top, body)


def _plot(name: str, picture: Markup) -> Markup:
    return Markup("<h3>{}</h3>{}").format(name, picture)


def _required(gates: Iterable[GateVerdict], name: str) -> float | None:
    found = next((gate.required for gate in gates if gate.name == name), None)
    return float(found) if isinstance(found, int | float) else None
