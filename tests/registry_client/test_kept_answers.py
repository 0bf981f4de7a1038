from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry_client.baseline import DOCUMENT_LIMIT_BYTES
from registry_client.errors import InvalidDocument, RegistryError, Unreachable
from registry_client.kept_answers import KeptAnswer, KeptAnswers, Question, shrink

ASKED = Question("version", "fraud", "3")
KEPT = KeptAnswer(b'{"version":"3"}', 1_700_000_000.25)
LIMIT_BYTES = 1_000_000
HOSTILE = ["", ".", "..", "../../x", "/etc/passwd", "a\0b", "a/b", "\ud800", "x" * 100_000, "con\nfused"]


@pytest.fixture
def answers(tmp_path: Path) -> KeptAnswers:
    return KeptAnswers(tmp_path / "answers", "file:./registry", LIMIT_BYTES)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_was_kept_is_read_until_it_is_replaced_or_forgotten(answers: KeptAnswers) -> None:
    assert answers.get(ASKED) is None
    answers.put(ASKED, KEPT)
    assert answers.get(ASKED) == KEPT
    answers.put(ASKED, KeptAnswer(b"[]", 2.0))
    assert answers.get(ASKED) == KeptAnswer(b"[]", 2.0)
    answers.forget(ASKED)
    answers.forget(ASKED)
    assert answers.get(ASKED) is None


def test_each_question_and_each_registry_has_its_own_answer(answers: KeptAnswers, tmp_path: Path) -> None:
    other = KeptAnswers(tmp_path / "answers", "mlflow+http://user:secret@mlflow:5000", LIMIT_BYTES)
    asked = [
        Question("aliases", "fraud"),
        Question("versions", "fraud"),
        Question("version", "fraud", "3"),
        Question("baseline", "fraud", "3"),
        Question("version", "a\0b", "c"),
        Question("version", "a", "b\0c"),
    ]
    for number, question in enumerate(asked):
        answers.put(question, KeptAnswer(b"%d" % number, 1.0))
        other.put(question, KeptAnswer(b"%d" % (100 + number), 1.0))
    for number, question in enumerate(asked):
        assert answers.get(question) == KeptAnswer(b"%d" % number, 1.0)
        assert other.get(question) == KeptAnswer(b"%d" % (100 + number), 1.0)
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "answers").iterdir())


def test_every_damaged_byte_is_found(answers: KeptAnswers, tmp_path: Path) -> None:
    answers.put(ASKED, KEPT)
    path = only_file(tmp_path / "answers")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InvalidDocument, match="damaged"):
            answers.get(ASKED)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidDocument):
            answers.get(ASKED)
    path.write_bytes(whole)
    assert answers.get(ASKED) == KEPT


def test_an_answer_in_another_ones_place_is_refused(answers: KeptAnswers, tmp_path: Path) -> None:
    answers.put(Question("version", "fraud", "4"), KEPT)
    stranger = only_file(tmp_path / "answers")
    answers.put(ASKED, KEPT)
    (own,) = (path for path in (tmp_path / "answers").iterdir() if path != stranger)
    stranger.replace(own)
    with pytest.raises(InvalidDocument, match="another question"):
        answers.get(ASKED)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_refused_and_does_not_hang(answers: KeptAnswers, tmp_path: Path, kind: str) -> None:
    answers.put(ASKED, KEPT)
    path = only_file(tmp_path / "answers")
    if kind == "link":
        outside = tmp_path / "outside.json"
        path.replace(outside)
        path.symlink_to(outside)
    else:
        path.unlink()
        path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(RegistryError):
        answers.get(ASKED)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_part_of_a_path(answers: KeptAnswers, tmp_path: Path, name: str) -> None:
    question = Question("version", name, name)
    if name == "\ud800":
        with pytest.raises(InvalidDocument, match="Unicode"):
            answers.put(question, KEPT)
    else:
        answers.put(question, KEPT)
        assert answers.get(question) == KEPT
        name_there = only_file(tmp_path / "answers").name
        assert len(name_there) == 64 + len(".json")
    assert [path.name for path in tmp_path.iterdir()] in (["answers"], [])


def test_what_is_too_large_is_not_kept(answers: KeptAnswers) -> None:
    answers.put(ASKED, KEPT)
    with pytest.raises(InvalidDocument, match="too large"):
        answers.put(ASKED, KeptAnswer(b'"' + b"x" * (DOCUMENT_LIMIT_BYTES + 65_536) + b'"', 1.0))
    assert answers.get(ASKED) == KEPT


def test_a_disk_that_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("in the way")
    answers = KeptAnswers(tmp_path / "answers", "", LIMIT_BYTES)
    with pytest.raises(Unreachable, match="cannot be made"):
        answers.put(ASKED, KEPT)
    assert answers.get(ASKED) is None


def test_the_folder_stays_below_its_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    answers = KeptAnswers(folder, "", 5_000)
    for number in range(20):
        question = Question("version", "fraud", str(number))
        answers.put(question, KeptAnswer(b'"' + b"x" * 700 + b'"', 1.0))
        for path in folder.iterdir():  # older than what comes next, however coarse the file system's clock is
            os.utime(path, (path.stat().st_mtime - 100, path.stat().st_mtime - 100))
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 5_000
    assert answers.get(Question("version", "fraud", "19")) is not None
    assert answers.get(Question("version", "fraud", "15")) is not None
    assert answers.get(Question("version", "fraud", "0")) is None


def test_what_a_dead_writer_left_aside_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left, written, newest = tmp_path / ".aside-1", tmp_path / ".aside-2", tmp_path / "newest"
    for path in (left, written, newest):
        path.write_bytes(b"x" * 100)
    os.utime(left, (0, 0))
    shrink(tmp_path, newest, limit_bytes=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aside-2", "newest"]
