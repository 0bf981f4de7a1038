"""What a run shows, in sentences.

Keeps: every number and every "better", "lost" or "refuses" is computed from the run that is told; what is fixed is
about the tables, which never change. Pure. Called by `document`.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from examples.flights.months import Month
from examples.flights.readings import Reading
from examples.flights.schedule import Clock


@dataclass(frozen=True, slots=True)
class Story:
    """All that a run showed. `requests` were sent; `behind_s` is how far the wall clock ever ran ahead of them."""

    months: tuple[Month, ...]
    last: Reading
    clock: Clock
    requests: int
    behind_s: float


def conclusions(story: Story) -> list[str]:
    """What the numbers say, in sentences that were computed from them."""
    months, last = story.months, story.last
    return [
        _outcomes(months, last),
        _drift(story),
        *_better(months, last),
        _gates(last),
        _losses(story),
    ]


def _losses(story: Story) -> str:
    last = story.last
    flights, landed = sum(month.flights for month in story.months), sum(month.landed for month in story.months)
    title = "Nothing was lost"
    if (last.mirrored, last.rows_watched, last.champion.matched) != (story.requests, flights, landed):
        title = "Something was lost"
    return (
        f"**{title}.** {last.mirrored:,} of {story.requests:,} requests were copied, {last.rows_watched:,} of "
        f"{flights:,} flights were watched for drift, {last.champion.matched:,} of {landed:,} outcomes were joined to "
        "their predictions. Cancelled and diverted flights were scored like the others and never got an outcome, so "
        "quality is quality on flights that arrived."
    )


def _outcomes(months: Sequence[Month], last: Reading) -> str:
    shares = {month.late_share: calendar.month_name[month.number] for month in months}
    least, most = min(shares), max(shares)
    shift = next((feature.psi for feature in last.features if feature.name == "probability"), None)
    unmoved = f" (the champion's own predictions did not follow: PSI {shift:.3f})" if shift is not None else ""
    return (
        f"**The outcome moves far more than the inputs.** From {least:.1%} late landings in {shares[least]} to "
        f"{most:.1%} in {shares[most]}{unmoved}: weather and crowds, of which no feature here knows. Watching "
        "inputs alone would never show it. Only outcomes do, and with them both versions' quality moves by more from "
        "month to month than the two ever differ."
    )


def _drift(story: Story) -> str:
    alarms = {alarm.id: alarm for month in story.months for alarm in month.alarms}.values()
    broken = sum(alarm.kind == "data.broken" for alarm in alarms)
    drifted = {feature.name for feature in story.last.features if feature.alarm}
    behind_days = story.behind_s / story.clock.day_s
    holidays = (
        " `weekday` is news in a week with a holiday, and where the replay falls behind its clock (here up to "
        f"{behind_days:.1f} virtual days): a bucket is then no whole week, and the alarm is the replay's own doing."
        if "weekday" in drifted
        else ""
    )
    names = ", ".join(f"`{feature.name}`" for feature in story.last.features if feature.alarm) or "nothing"
    verdict = (
        "No `data.broken` alarm was raised, which is right: no feed was broken."
        if broken == 0
        else f"{broken} of {len(alarms)} were called `data.broken`, which is wrong: a season is no fault of a feed."
    )
    return (
        f"**The season moves the world, and the sidecar says so.** {names} drifted. Airlines plan for the winds: on "
        "the same routes to the west coast a flight is scheduled about 18 minutes shorter in July than in January, and "
        f"a model that learnt in winter and spring has not seen so much of that.{holidays} Such drift is real and "
        f"small, and no reason to retrain by itself. {verdict}"
    )


def _better(months: Sequence[Month], last: Reading) -> Iterable[str]:
    both = [month for month in months if month.champion and month.challenger]
    less_loss = sum(month.challenger["log_loss"] < month.champion["log_loss"] for month in both)
    less_brier = sum(month.challenger["brier"] < month.champion["brier"] for month in both)
    more_right = sum(month.challenger["accuracy"] > month.champion["accuracy"] for month in both)
    worse = [
        calendar.month_name[month.number]
        for month in both
        if month.challenger["log_loss"] >= month.champion["log_loss"]
    ]
    except_in = f", not in {' and '.join(worse)}" if worse else ""
    champion, challenger = last.champion.metrics, last.challenger.metrics
    landed = sum(month.landed for month in months)
    never = 1.0 - sum(month.late_share * month.landed for month in months) / landed
    yield (
        f"**Which version is better depends on the question.** As probabilities, the challenger: its log loss is lower "
        f"in {less_loss} of {len(both)} months{except_in}, its Brier score in {less_brier} (log loss over all "
        f"{challenger['log_loss']:.4f} against {champion['log_loss']:.4f}). As yes or no at one half, its accuracy is "
        f"higher in {more_right} of {len(both)} months (over all {challenger['accuracy']:.4f} against "
        f"{champion['accuracy']:.4f})."
    )
    yield (
        f'**Both are weak models.** Saying "on time" to every flight would have been right for {never:.4f} of them, '
        f"{'more than' if never > max(champion['accuracy'], challenger['accuracy']) else 'against'} either version. "
        "What is known before departure says little about a late landing; accuracy at one half hides even that "
        "little, and a real user would choose the threshold by its costs."
    )


def _gates(last: Reading) -> str:
    refusing = [gate for gate in last.gates if gate.verdict not in ("pass", "off")]
    if not refusing:
        return "**The gates would let the challenger pass.**"
    sentences = [
        f"**The gates say {last.verdict}.** "
        + "; ".join(f"`{gate.name}` says {gate.verdict}: {gate.detail}" for gate in refusing)
        + "."
    ]
    outcome = [gate for gate in last.gates if gate.name == "outcome" and gate not in refusing]
    if outcome and last.challenger.metrics["log_loss"] < last.champion.metrics["log_loss"]:
        sentences.append(
            f"The gate on outcomes says {outcome[0].verdict} ({outcome[0].detail}), but about accuracy alone: it does "
            "not see that the challenger's probabilities are the better ones."
        )
    if "prediction" in {gate.name for gate in refusing}:
        sentences.append(
            "The gate on predictions refuses what scores unlike the champion, also when it is better: the challenger "
            "dares more, its probabilities are spread wider. Whoever wants it has to look at that and say so, by a "
            "wider limit in the policy or by an override with a written reason."
        )
    return " ".join(sentences)
