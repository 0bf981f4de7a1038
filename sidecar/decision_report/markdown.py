"""The report as Markdown, for a ticket or a repository.

Keeps: every text from elsewhere is escaped, so that none of it becomes a heading, a link, a table's border or HTML.
Called by control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sidecar.decision_report.facts import DecisionReport
from sidecar.decision_report.wording import counts, metrics, moment, number, outcomes, plain, proof, summary, title

# CommonMark's punctuation that may begin something within a line; `&` and `<` begin HTML.
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&$^])")
_LINK = re.compile(r"(?i)\b(https?|ftp|www|mailto)([:.])")


def as_markdown(report: DecisionReport) -> str:
    """The whole document."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: DecisionReport) -> Iterator[str]:
    yield from (f"# {_text(title(report))}", "", f"Decision report, {moment(report.entry.at)}", "")
    yield from _table(("", ""), summary(report))
    if report.gates:
        yield from ("", f"## Gates: {_text(report.verdict or 'not known')}", "")
        yield from _table(
            ("gate", "verdict", "observed", "required", "n", "why"),
            ((g.name, g.verdict, number(g.observed), number(g.required), number(g.n), g.detail) for g in report.gates),
        )
    if report.approvals:
        yield from ("", "## Approvals", "")
        yield from _table(
            ("approval",), ((", ".join(f"{name}: {text}" for name, text in each.items()),) for each in report.approvals)
        )
    if report.evidence is not None:
        kept = report.evidence.evidence
        yield from ("", "## Challenger beside champion", "")
        yield from _table(("", ""), counts(kept.comparison))
        if kept.quality is not None:
            yield from ("", "## Outcomes", "")
            yield from _table(("", ""), outcomes(kept.quality))
            found = tuple(metrics(kept.quality))
            if found:
                yield ""
                yield from _table(("metric", "champion", "challenger"), found)
    fields = sorted({*report.lineage, *report.lineage_before})
    if fields:
        yield from ("", "## Lineage, as the registry told it then", "")
        rows = ((name, report.lineage_before.get(name, "–"), report.lineage.get(name, "–")) for name in fields)
        entry = report.entry
        yield from _table(("", f"former: {entry.from_version or '–'}", f"new: {entry.to_version or '–'}"), rows)
    if report.others:
        yield from ("", "## Further details", "")
        yield from _table(("", ""), sorted(report.others.items()))
    yield from ("", "## Proof", "")
    yield from _table(("", ""), proof(report))
    yield from ("", "The audit trail is tamper-evident: compare its head with one that was kept elsewhere.")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = [_text(head) for head in heads]
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(_text(cell) for cell in row)} |"


def _text(text: str) -> str:
    """One line that is only text."""
    one_line = " ".join(plain(text).split())
    # No address of somebody else's becomes a link by itself.
    return _LINK.sub(r"\1\\\2", _MARKS.sub(r"\\\1", one_line))
