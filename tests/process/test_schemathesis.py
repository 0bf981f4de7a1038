"""Schemathesis, in an environment of its own, reads the API's description and calls a whole sidecar by it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.process.whole_sidecar import INFER, ROW, Make, ask, connect

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-schemathesis" / "bin" / "schemathesis"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "unsupported_method",
)  # fmt: skip
TOKEN = "a-token-of-the-test"


def test_no_described_call_ends_in_a_fault_or_otherwise_than_described(
    make: Make, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    tokens = [{"name": "alice", "role": "admin", "token_file": str(tmp_path / "token")}]
    # Nothing but this test's own model may ever be called.
    model = settings["deployments"][0]["challengers"][0]["url"].removeprefix("http://")
    admin = {"listen": "127.0.0.1:0", "tokens": tokens, "challenger_hosts": [model]}
    sidecar = make(admin=admin).start()
    connection = connect(sidecar.data)
    for _ in range(20):
        ask(connection, INFER, ROW)
    connection.close()

    # So that most calls reach what they are about.
    known = {"deployment": "fraud", "version": "4", "challenger": "4"}
    lines = [f'"{name}" = "{value}"' for name, value in known.items()]
    (tmp_path / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines, ""]))
    command = [
        str(PROGRAM), "run", f"{sidecar.admin}/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}",
        "--exclude-path", "/v1/events", "--phases", "examples,coverage,fuzzing", "--max-examples", "5",
        "--seed", "1", "--checks", ",".join(CHECKS), "--request-timeout", "60", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert sidecar.logged("admin.fault") == []
    assert sidecar.ready()
