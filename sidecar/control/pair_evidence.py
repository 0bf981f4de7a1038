"""The evidence on each challenger of one deployment: beside the champion, by outcomes, and what is to be labelled.

Keeps: evidence belongs to one generation and one reading of payloads; a challenger's also to its address and to what
counts as agreement, and begins anew when any changes. Does not read payloads, watch inputs, store or judge.
Called by: the deployment's watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sidecar.config import Deployment
from sidecar.control.asked_again import AskedAgain
from sidecar.control.canary_evidence import CanaryEvidence
from sidecar.control.checkpoints import Checkpoints
from sidecar.control.decision_row import DecisionRow, Joined
from sidecar.control.due_copies import DueCopies
from sidecar.observe.agreement import Tolerance
from sidecar.observe.cohorts import decisions_of
from sidecar.observe.comparison import ComparisonObserver
from sidecar.observe.label_queue import LabelQueues
from sidecar.observe.quality import QualityObserver
from sidecar.observe.segments import Segments
from sidecar.payload.columns import Columns
from sidecar.records import Exchange, Prediction
from sidecar.standing import DeploymentState

_PAIRED = "paired"
Restore = Callable[[bytes], None]


class PairEvidence:
    """`comparisons` by challenger, `paired` their outcomes beside the champion's, `label_queues` what is wanted."""

    def __init__(self, deployment: Deployment, state: DeploymentState) -> None:
        self._deployment, self._champion, self._generation = deployment, state.champion, state.generation
        self.copies = DueCopies(deployment, state)
        self.comparisons: dict[str, ComparisonObserver] = {}
        self._segments = Segments(deployment.comparison.segments)
        self.paired, self.label_queues = QualityObserver(self.threshold), LabelQueues()
        self.again = AskedAgain(deployment.noise_floor.share)
        self._checkpoints = Checkpoints()
        self.canary = CanaryEvidence()

    @property
    def threshold(self) -> float:
        """Scores from it on mean the positive class."""
        return self._deployment.comparison.threshold

    def begin(self, deployment: Deployment, state: DeploymentState, now: float, *, same: bool) -> dict[str, bool]:
        """Takes up settings and state; unless `same`, everything begins anew. Challenger -> whether its address is as
        it was.
        """
        before, former = self._deployment, self.copies.addresses
        if state.generation != self._generation:
            self.comparisons = {}  # of another pair, or counted otherwise: nothing goes on from it
        same = same and deployment.comparison.threshold == before.comparison.threshold
        self._deployment, self._champion, self._generation = deployment, state.champion, state.generation
        self.copies = DueCopies(deployment, state)
        self._segments = Segments(deployment.comparison.segments)
        self.again = AskedAgain(deployment.noise_floor.share)
        if not same:
            self.paired, self.label_queues = QualityObserver(self.threshold), LabelQueues()
            self._checkpoints.clear()
        same = same and tolerance_of(deployment) == tolerance_of(before)
        self.canary.follow(state, tolerance_of(deployment), now, same=same)
        comparisons = {}
        for version, address in self.copies.addresses.items():
            observer = self.comparisons.get(version)
            if observer is None or not same or former.get(version) != address:
                observer = self._anew(version, now)
            observer.self_test = self.copies.self_test(version)
            comparisons[version] = observer
        self.comparisons = comparisons
        return {version: former.get(version) == address for version, address in self.copies.addresses.items()}

    def forget(self, versions: Iterable[str], now: float) -> None:
        """These challengers' evidence begins anew, and with all of them the champion's."""
        gone = set(versions)
        self.canary.forget(gone, now)
        if gone == set(self.comparisons):
            self.paired, self.label_queues = QualityObserver(self.threshold), LabelQueues()
        for version in gone:
            self.comparisons[version] = self._anew(version, now)

    def checkpoint(self, now: float) -> None:
        """Keeps what stands, once it is time."""
        if self._checkpoints.due(now):
            states = {f"comparison/{version}": each.snapshot() for version, each in self.comparisons.items()}
            self._checkpoints.add(now, states | {_PAIRED: self.paired.checkpoint()})

    def rewind(self, since: float, now: float) -> None:
        """Takes out all that came from `since` on; what has no earlier state begins anew, as areas under curves do."""
        self.canary.anew(now)
        earlier = self._checkpoints.before(since)
        states = {} if earlier is None else earlier.states
        # The state of evidence that has begun anew since then is none of this one's.
        begun = {version: observer.since for version, observer in self.comparisons.items()}
        self.paired = QualityObserver(self.threshold)
        if _PAIRED in states:
            self.paired.restore(states[_PAIRED])
        for version, observer in self.comparisons.items():
            state = states.get(f"comparison/{version}")
            if state is not None and begun[version] <= since:
                observer.rewind(state)
            if state is None or begun[version] > since or observer.since != begun[version]:
                self.comparisons[version] = self._anew(version, now)

    def _anew(self, version: str, now: float) -> ComparisonObserver:
        self.paired.forget_pair(self._champion, version)
        self.label_queues.forget(version)
        tolerance, self_test = tolerance_of(self._deployment), self.copies.self_test(version)
        if version in self.comparisons:
            return self.comparisons[version].anew(now, tolerance)
        return ComparisonObserver(self._champion, version, score_tolerance=tolerance, now=now, self_test=self_test)

    @property
    def by_segment(self) -> bool:
        """Whether rows are parted by features, so that these have to be read."""
        return bool(self._segments)

    @property
    def named_segments(self) -> tuple[str, ...]:
        """What the settings name of the features, seen or not."""
        return self._segments.named

    def segments(self, champion: Prediction | None, features: tuple[int, Columns] | None) -> list[tuple[str, ...]]:
        """Of each row that the champion answered; empty where there are none."""
        if not self._segments or champion is None or features is None:
            return []
        return self._segments.of(champion.rows, features[1])

    def fold(
        self,
        exchange: Exchange,
        predictions: Mapping[str, Prediction],
        rows: Sequence[DecisionRow],
        segments: Sequence[tuple[str, ...]],
        *,
        counted: bool,
    ) -> None:
        """One exchange of this generation with what each version said. `counted`: workers report copies, so that one
        that is not here was dropped.
        """
        champion = predictions.get(exchange.champion.version)
        sent = set()
        for leg in exchange.shadows:
            comparison = self.comparisons.get(leg.version)
            if comparison is not None and leg.dropped is None:
                sent.add(leg.version)
                if exchange.champion.dropped is not None:
                    comparison.pass_over(leg)  # a canary answered, and the champion got no copy
                    continue
                said = predictions.get(leg.version)
                comparison.fold(exchange, leg, champion, said, segments)
                if leg.version == exchange.canary:
                    self.canary.fold(exchange, leg, champion, said, segments)
        for version in self.comparisons.keys() - sent if counted else ():
            if self.copies.due(version, exchange.request_id):
                self.comparisons[version].fold_dropped(exchange, champion)
        self.again.offer(exchange, predictions)
        for version, said in predictions.items():
            self.paired.fold_predicted(version, said.rows)
        for row in rows:
            decisions = decisions_of(row.predictions, self.threshold)
            self.paired.fold_row_predicted(row.at, self._champion, row.predictions, decisions)
            self.label_queues.offer(row.request_id, row.row, row.at, self._champion, decisions)

    def pass_over(self, exchange: Exchange) -> None:
        """One exchange of this generation that is no evidence."""
        self.canary.pass_over(exchange)
        for leg in exchange.shadows:
            if leg.version in self.comparisons:
                self.comparisons[leg.version].pass_over(leg)

    def fold_joined(self, joined: Joined) -> None:
        """A row's outcome, the row being of this generation."""
        # A challenger's evidence may have begun later than the generation: at another address, or added again.
        said = {
            version: prediction
            for version, prediction in joined.predictions.items()
            if version not in self.comparisons or self.comparisons[version].since <= joined.at
        }
        self.paired.fold_row(
            self._champion,  # beside whom all are compared, whoever answered
            said,
            joined.outcome,
            joined.replaces,
            at=joined.at,
            received=joined.received,
            segments=joined.segments,
        )

    def snapshots(self) -> dict[str, bytes]:
        """By name. Outcomes are not among them: they are counted anew from disk."""
        saved = {f"comparison/{version}": observer.snapshot() for version, observer in self.comparisons.items()}
        return saved | {"predicted": self.paired.snapshot_predicted(), "label_queues": self.label_queues.snapshot()}

    def restores(self, same: Callable[[str], bool]) -> dict[str, Restore]:
        """What takes each of them up; of challengers only those that are the `same` as then."""
        kept: dict[str, Restore] = {
            f"comparison/{version}": observer.restore for version, observer in self.comparisons.items() if same(version)
        }
        return kept | {"predicted": self.paired.restore_predicted, "label_queues": self.label_queues.restore}


def tolerance_of(deployment: Deployment) -> Tolerance:
    """Which scores agree."""
    settings = deployment.comparison
    return Tolerance(deployment.score_tolerance, settings.relative_tolerance, settings.threshold)
