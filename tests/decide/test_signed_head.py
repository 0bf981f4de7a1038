from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from sidecar.decide.audit_chain import EMPTY, Head, fault_against, seal
from sidecar.decide.signed_head import Keyring
from sidecar.recorded import SignedHead
from tests.decide.test_audit_chain import HEAD, TRAIL, deed

OLD, NEW = ("2025", b"an old key of 22 bytes"), ("2026", b"a new key, of 23 bytes.")
SIGNED = Keyring((NEW,)).sign(HEAD, 1_700_000_000.5)


def test_the_signature_is_this_one_for_ever() -> None:
    text = f'["sidecar-audit-head/1",{HEAD.seq},"{HEAD.hash}",1700000000.5,"2026"]'
    assert SIGNED.mac == f"hmac-sha256:{hmac.new(NEW[1], text.encode(), hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": HEAD.seq - 1},
        {"hash": TRAIL[3].hash},
        {"at": 1_700_000_001.0},
        {"at": None},
        {"key": "2025"},
        {"key": None},
        {"mac": None},
        {"mac": "hmac-sha256:" + "0" * 64},
        {"mac": "größer"},
        {"mac": ""},
    ],
    ids=str,
)
def test_each_changed_member_is_found(changes: dict[str, Any]) -> None:
    assert Keyring((NEW,)).fault(SIGNED) is None
    assert Keyring((NEW,)).fault(msgspec.structs.replace(SIGNED, **changes)) is not None


def test_who_holds_no_key_cannot_sign() -> None:
    forged = Keyring((("2026", b"guessed by somebody"),)).sign(HEAD, 0.0)
    assert "was not made with the key 2026" in str(Keyring((NEW,)).fault(forged))
    assert "is not signed" in str(Keyring((NEW,)).fault(SignedHead(seq=HEAD.seq, hash=HEAD.hash)))


def test_after_a_rotation_the_new_key_signs_and_the_old_ones_signatures_are_taken() -> None:
    both = Keyring((NEW, OLD))
    assert both.sign(HEAD, 0.0).key == "2026"
    assert both.fault(Keyring((OLD,)).sign(HEAD, 0.0)) is None
    assert Keyring((NEW,)).fault(Keyring((OLD,)).sign(HEAD, 0.0)) is not None


def test_an_auditors_copy_of_the_key_may_have_another_name() -> None:
    assert Keyring((("copy", NEW[1]),)).fault(SIGNED) is None


def test_without_a_key_nothing_is_signed_and_nothing_checked() -> None:
    assert Keyring().sign(HEAD, 1.0) == SignedHead(seq=HEAD.seq, hash=HEAD.hash, at=1.0)
    assert Keyring().fault(msgspec.structs.replace(SIGNED, mac="x")) is None
    assert Keyring().signs is None


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than 16") as found:
        Keyring((("2026", b"secret"),))
    assert "secret" not in str(found.value)


def test_a_trail_that_only_grew_fits_every_head_that_was_exported_from_it() -> None:
    for entry in TRAIL:
        assert fault_against(TRAIL, Head(entry.seq, entry.hash)) is None
    assert fault_against(TRAIL, EMPTY) is None


@pytest.mark.parametrize("length", [0, 1, len(TRAIL) - 1])
def test_a_trail_that_was_cut_does_not_fit_an_exported_head(length: int) -> None:
    assert f"the trail ends at entry {length}" in str(fault_against(TRAIL[:length], HEAD))


def test_a_trail_that_was_written_anew_does_not_fit_an_exported_head() -> None:
    first = seal(EMPTY, deed(actor="mallory"))
    second = seal(Head(first.seq, first.hash), deed())
    assert "entry 2 is not the one" in str(fault_against([first, second], Head(2, TRAIL[1].hash)))
    assert "was rewritten" in str(fault_against(TRAIL, Head(4, TRAIL[4].hash)))
