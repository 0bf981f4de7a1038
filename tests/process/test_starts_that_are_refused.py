"""A sidecar that cannot start says why in one sentence, exits with 2, leaves nothing running and hurts nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.whole_sidecar import Make, Sidecar, ask_once, until


def refused(sidecar: Sidecar) -> str:
    """Its one sentence."""
    sidecar.begin()
    assert sidecar.ended(120) == 2
    assert sidecar.children() == []
    assert len(sidecar.sentences) == 1, sidecar.said
    return sidecar.sentences[0]


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_data_port_in_use(make: Make, taken: str) -> None:
    sentence = refused(make(listen=taken))

    assert sentence == f"sidecar: listen {taken}: another process listens there: stop it, or choose another address"


def test_an_admin_port_in_use(make: Make, taken: str) -> None:
    assert refused(make(admin={"listen": taken})).startswith(f"sidecar: admin.listen {taken}: another process")


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("192.0.2.1:0", "this machine does not have that address"),
        ("no-such-host.invalid:0", "no-such-host.invalid:0: "),
        ("unix:/no/such/folder/s", "the folder does not exist: create it"),
    ],
)
def test_an_address_that_is_not_ours(make: Make, listen: str, says: str) -> None:
    assert says in refused(make(listen=listen))


def test_a_second_sidecar_on_the_same_state_folder_names_the_first(make: Make) -> None:
    first = make().start()
    until("the first routes", first.ready)
    sockets = list(Path(first._environment["TMPDIR"]).glob(f"sidecar-{os.getuid()}-*"))

    sentence = refused(make())

    assert f"{first.state_dir} is in use" in sentence
    assert f"process id {first.process.pid}:" in sentence  # not control's: that one would be started again
    assert ask_once(first.data).status == 200
    assert [folder.is_dir() for folder in sockets] == [True], "models of the first answer there, or will"
    assert first.get("/v1/audit/verify")["ok"]
    assert first.stop() == 0


def test_a_refused_start_leaves_no_folder_of_sockets(make: Make) -> None:
    tokens = [{"name": "alice", "role": "operator", "token_env": "SIDECAR_TEST_ALICE"}]
    sidecar = make(admin={"listen": "127.0.0.1:0", "tokens": tokens})
    refused(sidecar)

    assert list(Path(sidecar._environment["TMPDIR"]).glob("sidecar-*")) == []


def test_a_bad_configuration_is_named_with_file_and_line(make: Make) -> None:
    sidecar = make()
    sidecar.config.write_text("state_dir: s\nworkerz: 2\nupstream: http://127.0.0.1:1\n", encoding="utf-8")

    assert refused(sidecar) == f"{sidecar.config}:2: workerz: unknown key; did you mean workers?"


def test_a_missing_token_names_the_variable(make: Make) -> None:
    tokens = [{"name": "alice", "role": "operator", "token_env": "SIDECAR_TEST_ALICE"}]
    admin = {"listen": "127.0.0.1:0", "tokens": tokens}

    assert "set the variable SIDECAR_TEST_ALICE" in refused(make(admin=admin))

    sidecar = make({"SIDECAR_TEST_ALICE": "a-long-secret-of-alice"}, admin=admin).start()
    assert ask_once(sidecar.admin, "/v1/deployments", None).status == 401
    assert "a-long-secret-of-alice" not in sidecar.said


def test_a_state_folder_that_cannot_be_made(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    sentence = refused(make(state_dir=str(tmp_path / "file" / "state")))

    assert str(tmp_path / "file" / "state") in sentence
    assert "state_dir" in sentence


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 97):
        content[position] ^= 0x5A
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


@pytest.fixture
def used(make: Make) -> Sidecar:
    """A sidecar that ran and ended, and its folder."""
    sidecar = make().start()
    until("it routes", sidecar.ready)
    assert sidecar.stop() == 0
    return sidecar


def test_a_damaged_state_folder_is_refused_and_left_as_it_was(used: Sidecar, make: Make) -> None:
    database = used.state_dir / "sidecar.db"
    whole = database.read_bytes()
    for damage in (flip, truncate, garbage):
        database.write_bytes(whole)
        damage(database)
        damaged = database.read_bytes()

        sentence = refused(make())

        assert str(database) in sentence, damage
        assert "restore it from a backup" in sentence, damage
        assert database.read_bytes() == damaged, damage

    database.write_bytes(whole)
    again = make().start()
    assert again.get("/v1/audit/verify")["ok"]


def test_a_damaged_routing_table_is_written_anew(used: Sidecar, make: Make) -> None:
    (used.state_dir / "routing.msgpack").write_bytes(b"\xc1" * 64)

    again = make().start()

    assert ask_once(again.data).version == "3"
