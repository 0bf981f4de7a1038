"""Promotion and rollback by the command line while traffic flows: callers see the version change and nothing else."""

from __future__ import annotations

import json

from tests.process.whole_sidecar import Callers, Sidecar, until


def test_promote_and_roll_back_under_traffic(sidecar: Sidecar) -> None:
    with Callers(sidecar.data) as callers:
        until("the gates pass", lambda: sidecar.get("/v1/deployments/fraud/gates")["verdict"] == "pass")
        promoted = sidecar.cli("promote", "fraud", "4", "--reason", "the gates pass")
        assert promoted.returncode == 0, promoted.stderr
        callers.more(50)
        until("the former champion shadows", lambda: sidecar.metric("sidecar_shadow_requests_total", version="3"))
        rolled_back = sidecar.cli("rollback", "fraud", "--reason", "a look at the callers")
        assert rolled_back.returncode == 0, rolled_back.stderr
        callers.more(50)

    assert (callers.faults, callers.statuses) == ([], {200})
    # Two callers' answers are noted as they come, so around a change they may alternate; at its ends they may not.
    versions = [version for _, version in callers.answers]
    assert (versions[0], versions[-1]) == ("3", "3")
    assert set(versions) == {"3", "4"}
    first, last = versions.index("4"), len(versions) - versions[::-1].index("4")
    assert versions[first + 2 : last - 2].count("3") == 0

    by_api = sidecar.cli("audit", "verify")
    assert (by_api.returncode, "3 entries" in by_api.stdout) == (0, True)
    actions = [entry["action"] for entry in json.loads(sidecar.cli("audit", "--json").stdout)["entries"]]
    assert actions == ["start", "promote", "rollback"]
    assert sidecar.cli("audit", "verify", "--state-dir", str(sidecar.state_dir)).returncode == 0
    assert sidecar.stop() == 0
    from_disk = sidecar.cli("audit", "verify", "--state-dir", str(sidecar.state_dir))
    assert (from_disk.returncode, "3 entries" in from_disk.stdout) == (0, True)


def test_a_promotion_that_is_refused_changes_nothing(sidecar: Sidecar) -> None:
    refused = sidecar.cli("promote", "fraud", "4", "--reason", "too early")

    assert refused.returncode == 1
    assert "pairs" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert sidecar.get("/v1/deployments/fraud")["generation"] == 1
