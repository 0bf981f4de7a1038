"""Secrets of tokens: from a variable or a file, and no sentence repeats one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.admin.auth import Access
from sidecar.app.tokens import CannotStart, tokens_of
from sidecar.config import Settings


def settings(**token: Any) -> Settings:
    tokens = [{"name": "alice", "role": "operator", **token}]
    return Settings.model_validate({"upstream": "http://h:1", "admin": {"tokens": tokens}})


def test_a_secret_is_read_from_a_file_without_its_last_line_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")

    access = Access(tokens_of(settings(token_file=str(file))), "127.0.0.1", ())

    caller = access.caller("Bearer s3cret")
    assert caller is not None
    assert caller.name == "alice"


def test_a_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    now = settings(token_file=str(file))
    before = tokens_of(now)
    file.write_text("new")

    assert tokens_of(now) != before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "holds no text"),
        (b"x" * 70_000, "longer"),
    ],
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(CannotStart, match=says):
        tokens_of(settings(token_file=str(file)))


def test_a_blank_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_TEST_BLANK", "  ")

    with pytest.raises(CannotStart, match="is empty"):
        tokens_of(settings(token_env="SIDECAR_TEST_BLANK"))


@pytest.mark.parametrize("token", [{}, {"token_env": "A", "token_file": "/a"}])
def test_a_token_has_one_place(token: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="token_file in its place"):
        settings(**token)
