"""The runtime beneath the model server keeps to itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def left_behind(tmp_path: Path, code: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=180)
    return [path.name for path in tmp_path.iterdir()]


def test_loading_the_model_server_leaves_no_identifier_behind(tmp_path: Path) -> None:
    assert left_behind(tmp_path, "import sidecar.model_server, sidecar.demo.stage") == []


def test_only_one_file_imports_the_runtime() -> None:
    package = Path(__file__).parents[2] / "sidecar"
    loads = re.compile(r"^(import|from) onnxruntime", re.MULTILINE)
    importing = [path.name for path in package.rglob("*.py") if loads.search(path.read_text(encoding="utf-8"))]

    assert importing == ["quiet_runtime.py"]
