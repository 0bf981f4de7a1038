from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from registry_client.errors import InvalidDocument
from registry_client.mlflow_documents import (
    RunAnswer,
    VersionAnswer,
    VersionDocument,
    decoded,
    model_version,
    own_tags,
)

# As MLflow 3.17 sent it.
VERSION = b"""{"model_version":{"name":"bc","version":"1","creation_timestamp":1795368175431,
"last_updated_timestamp":1795368175431,"current_stage":"None","description":"",
"source":"models:/m-6627e6a462964e6f96c2ba310df22f80","run_id":"1c72ec8679b245939737de014882b8af","status":"READY",
"tags":[{"key":"baseline_path","value":"monitoring/baseline.json"}],"run_link":"","aliases":["champion"]}}"""
RUN: dict[str, Any] = {
    "info": {"run_id": "1c72", "artifact_uri": "mlflow-artifacts:/0/1c72/artifacts", "user_id": "root"},
    "data": {
        "params": [{"key": "depth", "value": "3"}, {"key": "empty"}],
        "metrics": [{"key": "auc", "value": 0.9371}, {"key": "loss", "value": "NaN"}, {"key": "steps", "value": 7}],
        "tags": [
            {"key": "mlflow.user", "value": "ann"},
            {"key": "mlflow.source.git.commit", "value": "4f2a"},
            {"key": "mlflow.source.name", "value": "train.py"},
        ],
    },
    "inputs": {
        "dataset_inputs": [
            {
                "dataset": {"name": "payments", "digest": "a1b2", "source_type": "local"},
                "tags": [{"key": "mlflow.data.context", "value": "training"}],
            },
            {"dataset": {"name": "holdout", "digest": "c3"}},
            {"dataset": {}},
        ]
    },
}


def version(**tags: str) -> VersionDocument:
    found = decoded(VERSION, VersionAnswer, "bc/1").model_version
    pairs = [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()]
    changed = json.loads(VERSION)["model_version"] | {"tags": pairs}
    return decoded(json.dumps({"model_version": changed}).encode(), VersionAnswer, "x").model_version if tags else found


def run(**changes: Any) -> Any:
    return decoded(json.dumps({"run": RUN | changes}).encode(), RunAnswer, "a run").run


def test_a_version_without_a_run_has_what_its_tags_say() -> None:
    found = model_version(version(), None)
    assert (found.model, found.version) == ("bc", "1")
    assert found.created_at == datetime.fromtimestamp(1795368175.431, UTC)
    assert (found.digest, found.baseline_digest, found.lineage) == (None, None, {})
    assert found.tags == {"baseline_path": "monitoring/baseline.json"}


def test_a_run_tells_data_code_parameters_scores_and_person() -> None:
    assert model_version(version(), run()).lineage == {
        "data": "payments@a1b2 (training), holdout@c3",
        "code": "4f2a",
        "source": "train.py",
        "created_by": "ann",
        "run": "1c72",
        "params.depth": "3",
        "params.empty": "",
        "metrics.auc": "0.9371",
        "metrics.loss": "NaN",
        "metrics.steps": "7",
    }


def test_a_run_that_logged_nothing_tells_who_ran_it() -> None:
    assert model_version(version(), run(data={}, inputs={})).lineage == {"created_by": "root", "run": "1c72"}


def test_own_fields_are_no_tags_and_overlay_the_runs() -> None:
    digest = f"sha256:{'a' * 64}"
    tags = own_tags(
        digest=digest, baseline_digest=digest, baseline_path="x/y.json", lineage={"approved_by": "zoë", "code": "mine"}
    )
    found = model_version(version(team="risk", **{key.replace(".", "__"): value for key, value in tags.items()}), run())
    assert (found.digest, found.baseline_digest) == (digest, digest)
    assert found.tags == {"team": "risk"}
    assert (found.lineage["approved_by"], found.lineage["code"]) == ("zoë", "mine")
    assert own_tags(digest=None, baseline_digest=None, baseline_path="x", lineage={}) == {}


@pytest.mark.parametrize("digest", ["", "sha256:", "md5:1", f"sha256:{'A' * 64}", f"sha256:{'a' * 64}\n"])
def test_a_tag_that_is_no_digest_is_told(digest: str) -> None:
    for tag in ("sidecar__artifact_digest", "sidecar__baseline_digest"):
        with pytest.raises(InvalidDocument, match="no sha256 digest"):
            model_version(version(**{tag: digest}), None)


def test_what_a_run_logs_without_measure_is_cut() -> None:
    params = [{"key": f"p{n}", "value": "v" * 10_000} for n in range(2_000)]
    lineage = model_version(version(), run(data={"params": params})).lineage
    assert len(lineage) < 600
    assert max(map(len, lineage.values())) <= 4_096


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"<html>login</html>",
        b"[" * 200_000,
        b'{"model_version": []}',
        b'{"model_version": {"name": "bc"}}',
        b'{"model_version": {"name": 1, "version": "1", "creation_timestamp": 1}}',
        b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": -1}}',
        b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": 1e400}}',
        b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": 99999999999999999}}',
        b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": 1, "tags": {"a": "b"}}}',
        b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": 1, "tags": [{"value": "b"}]}}',
    ],
    ids=range(16),
)
def test_a_document_of_another_shape_is_told(body: bytes) -> None:
    with pytest.raises(InvalidDocument, match="MLflow's answer about bc/1 cannot be read"):
        decoded(body, VersionAnswer, "bc/1")


def test_a_number_may_come_as_a_text() -> None:
    body = b'{"model_version": {"name": "bc", "version": "1", "creation_timestamp": "1000"}}'
    assert decoded(body, VersionAnswer, "bc/1").model_version.creation_timestamp == 1_000
