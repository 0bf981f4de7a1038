from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from registry_client.errors import DigestMismatch, InvalidDocument, Unreachable
from registry_client.kept_artifacts import KeptArtifacts

CONTENT = b"not really ONNX " * 1_000
DIGEST = f"sha256:{sha256(CONTENT).hexdigest()}"
LIMIT_BYTES = 50_000
AGE_S = 1_000.0


@pytest.fixture
def artifacts(tmp_path: Path) -> KeptArtifacts:
    return KeptArtifacts(tmp_path / "artifacts", limit_bytes=LIMIT_BYTES, age_s=AGE_S)


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "fetched.onnx"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("digest", [DIGEST, None])
def test_what_was_taken_is_given_under_its_digest(artifacts: KeptArtifacts, tmp_path: Path, digest: str | None) -> None:
    target = tmp_path / "there" / "model.onnx"
    assert not artifacts.give(DIGEST, target)
    assert artifacts.take(file(tmp_path, CONTENT), digest) == DIGEST
    assert artifacts.give(DIGEST, target)
    assert target.read_bytes() == CONTENT
    assert artifacts.take(file(tmp_path, CONTENT), digest) == DIGEST
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [DIGEST.removeprefix("sha256:")]


def test_bytes_of_another_digest_are_not_taken(artifacts: KeptArtifacts, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        artifacts.take(file(tmp_path, b"others"), DIGEST)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_damaged_bytes_are_never_given_and_are_gone_afterwards(artifacts: KeptArtifacts, tmp_path: Path) -> None:
    artifacts.take(file(tmp_path, CONTENT), DIGEST)
    (kept,) = (tmp_path / "artifacts").iterdir()
    kept.write_bytes(CONTENT[:-1] + b"?")
    target = tmp_path / "model.onnx"
    with pytest.raises(DigestMismatch):
        artifacts.give(DIGEST, target)
    assert not target.exists()
    assert not artifacts.give(DIGEST, target)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 64, "sha256:" + "0" * 63 + "/"])
def test_what_is_no_digest_is_no_path(artifacts: KeptArtifacts, tmp_path: Path, digest: str) -> None:
    with pytest.raises(InvalidDocument):
        artifacts.give(digest, tmp_path / "model.onnx")


def test_the_folder_stays_below_its_bound_and_what_was_used_longest_ago_goes(
    artifacts: KeptArtifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    digests = []
    for number in range(4):
        digests.append(artifacts.take(file(tmp_path, bytes([number]) * 15_000), None))
        for age, digest in enumerate(reversed(digests)):
            path = folder / digest.removeprefix("sha256:")
            if path.exists():
                os.utime(path, (0.0, path.stat().st_mtime - age - 1))
        if number == 2:
            assert artifacts.give(digests[0], tmp_path / "used.onnx")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LIMIT_BYTES
    assert artifacts.give(digests[0], tmp_path / "used.onnx"), "it was used last"
    assert not artifacts.give(digests[1], tmp_path / "unused.onnx")


def test_what_nobody_asked_for_in_a_long_time_goes_with_the_next(artifacts: KeptArtifacts, tmp_path: Path) -> None:
    artifacts.take(file(tmp_path, CONTENT), DIGEST)
    (kept,) = (tmp_path / "artifacts").iterdir()
    os.utime(kept, (0, 0))
    artifacts.take(file(tmp_path, b"next"), None)
    assert not artifacts.give(DIGEST, tmp_path / "model.onnx")


def test_one_that_is_larger_than_all_that_may_be_kept_is_not_taken(artifacts: KeptArtifacts, tmp_path: Path) -> None:
    artifacts.take(file(tmp_path, CONTENT), DIGEST)
    with pytest.raises(InvalidDocument, match="no more than"):
        artifacts.take(file(tmp_path, b"x" * (LIMIT_BYTES + 1)), None)
    assert artifacts.give(DIGEST, tmp_path / "model.onnx")


def test_a_disk_that_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("in the way")
    artifacts = KeptArtifacts(tmp_path / "artifacts", limit_bytes=LIMIT_BYTES, age_s=AGE_S)
    with pytest.raises(Unreachable, match="cannot be kept"):
        artifacts.take(file(tmp_path, CONTENT), DIGEST)
    with pytest.raises(Unreachable):
        KeptArtifacts(tmp_path / "fine", limit_bytes=LIMIT_BYTES, age_s=AGE_S).take(tmp_path / "nowhere", None)
