from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sidecar.decide.audit_chain import EMPTY, GENESIS, Deed, Head, check, hash_of, seal
from sidecar.standing import AuditEntry

LENGTH = 30


def deed(**changes: Any) -> Deed:
    fields: dict[str, Any] = {
        "at": 1_700_000_000.25,
        "actor": "alice",
        "action": "promote",
        "deployment": "fraud",
        "from_version": "3",
        "to_version": "4",
        "reason": "größer als v3",
        "evidence": None,
        "details": "{}",
    }
    return Deed(**fields | changes)


def trail(length: int = LENGTH) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    head = EMPTY
    for number in range(length):
        entries.append(seal(head, deed(at=1_700_000_000.0 + number, reason=f"reason {number}")))
        head = Head(entries[-1].seq, entries[-1].hash)
    return entries


TRAIL = trail()
HEAD = Head(TRAIL[-1].seq, TRAIL[-1].hash)


def test_the_encoding_is_this_one_for_ever() -> None:
    text = (
        '["sidecar-audit/1",1,1700000000.25,"alice","promote","fraud","3","4",'
        f'"gr\\u00f6\\u00dfer als v3",null,"{{}}","{GENESIS}"]'
    )
    assert seal(EMPTY, deed()).hash == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert json.loads(text)[8] == deed().reason


def test_a_time_is_encoded_alike_as_integer_and_as_float() -> None:
    assert seal(EMPTY, deed(at=5)).hash == seal(EMPTY, deed(at=5.0)).hash


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_cannot_be_sealed(at: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        seal(EMPTY, deed(at=at))


def test_a_sound_trail_is_ok() -> None:
    found = check(TRAIL, HEAD)
    assert (found.ok, found.entries, found.head, found.fault) == (True, LENGTH, HEAD.hash, None)
    assert check([], EMPTY).ok
    assert check([], None).ok


FIELDS = [name for name in AuditEntry.__struct_fields__ if name != "hash"]


@pytest.mark.parametrize("place", range(LENGTH))
@pytest.mark.parametrize("name", [*FIELDS, "hash"])
def test_every_edit_of_every_entry_is_found(place: int, name: str) -> None:
    entries = list(TRAIL)
    old = getattr(entries[place], name)
    new = old + 1 if isinstance(old, int | float) else f"{old or ''}x"
    entries[place] = msgspec.structs.replace(entries[place], **{name: new})
    found = check(entries, HEAD)
    assert not found.ok
    assert found.fault is not None
    assert str(place + 1) in found.fault


def resealed(entry: AuditEntry, **changes: Any) -> AuditEntry:
    changed = msgspec.structs.replace(entry, **changes)
    return msgspec.structs.replace(changed, hash=hash_of(changed))


@pytest.mark.parametrize("place", range(LENGTH))
def test_an_edit_with_a_new_hash_is_found(place: int) -> None:
    entries = list(TRAIL)
    entries[place] = resealed(entries[place], reason="something else")
    assert not check(entries, HEAD).ok


@pytest.mark.parametrize("place", range(LENGTH))
def test_every_removal_is_found(place: int) -> None:
    fault = check(TRAIL[:place] + TRAIL[place + 1 :], HEAD).fault
    assert fault is not None
    assert (f"entry {place + 1} is missing" in fault) or (place == LENGTH - 1 and "cut off" in fault)


@pytest.mark.parametrize("place", range(LENGTH))
def test_every_insertion_is_found(place: int) -> None:
    assert not check([*TRAIL[:place], TRAIL[place], *TRAIL[place:]], HEAD).ok


@pytest.mark.parametrize("place", range(LENGTH - 1))
def test_every_swap_is_found_also_when_renumbered(place: int) -> None:
    first, second = TRAIL[place], TRAIL[place + 1]
    swapped = [*TRAIL[:place], second, first, *TRAIL[place + 2 :]]
    assert not check(swapped, HEAD).ok
    renumbered = [resealed(second, seq=first.seq), resealed(first, seq=second.seq)]
    assert not check([*TRAIL[:place], *renumbered, *TRAIL[place + 2 :]], HEAD).ok


@pytest.mark.parametrize("kept", range(LENGTH))
def test_every_cut_off_end_is_found_by_the_head(kept: int) -> None:
    fault = check(TRAIL[:kept], HEAD).fault
    assert fault == f"the newest entries are cut off: the trail ends at entry {kept}, its head is entry {LENGTH}"


def rewritten() -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    head = EMPTY
    for old in TRAIL:
        entries.append(seal(head, deed(at=old.at, reason="a kinder story")))
        head = Head(entries[-1].seq, entries[-1].hash)
    return entries


def test_a_trail_rewritten_from_the_start_is_found_by_the_head() -> None:
    assert check(rewritten(), None, unheaded=LENGTH).ok
    assert "the trail was rewritten" in str(check(rewritten(), HEAD).fault)


@pytest.mark.parametrize(
    ("entries", "head", "unheaded", "says"),
    [
        (TRAIL, Head(LENGTH - 1, TRAIL[-2].hash), 1, None),
        (TRAIL, Head(LENGTH - 1, TRAIL[-2].hash), 0, "entry 30 follows the head"),
        (TRAIL, Head(LENGTH - 2, TRAIL[-3].hash), 1, "entry 30 follows the head"),
        (TRAIL[:1], None, 1, None),
        (TRAIL[:1], EMPTY, 1, None),
        (TRAIL[:2], None, 1, "the copy of the head is missing"),
        (TRAIL[:1], None, 0, "the copy of the head is missing"),
        (TRAIL, Head(0, "sha256:ff"), LENGTH, "rewritten"),
    ],
)
def test_the_head_may_be_as_far_behind_as_a_crash_explains(
    entries: list[AuditEntry], head: Head | None, unheaded: int, says: str | None
) -> None:
    found = check(entries, head, unheaded)
    assert found.ok == (says is None)
    assert (says or "") in str(found.fault)


def test_several_missing_entries_are_named_together() -> None:
    assert check(TRAIL[5:], HEAD).fault == "entries 1 to 5 are missing"


@pytest.mark.parametrize("value", [b"bytes", float("nan"), object(), "\ud800"])
def test_an_entry_that_was_never_sealed_is_an_edited_one(value: Any) -> None:
    entries = list(TRAIL)
    entries[3] = msgspec.structs.replace(entries[3], reason=value)
    assert "entry 4 was edited" in str(check(entries, HEAD).fault)


def test_the_check_reads_a_stream_once() -> None:
    stream: Callable[[], Any] = lambda: iter(TRAIL)  # noqa: E731  # an iterator, not a list
    assert check(stream(), HEAD).ok
