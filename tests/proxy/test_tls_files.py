"""Certificates on disk: renewed, replaced, broken or half written while they are in use."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from sidecar.decide.routing_table import Certificate, Trust
from sidecar.proxy.tls import Certificates, Trusts, Unusable
from tests.proxy.scripted import World
from tests.proxy.tls_ground import CA, Files, ask_over, client, command, front, put, serial


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "front").show(CA.issue_cert("127.0.0.1", "localhost")).trust(CA)


def serial_of(issued: trustme.LeafCert) -> int:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "sidecar.proxy.tls"]


async def test_a_renewed_certificate_counts_for_new_connections_and_open_ones_live_on(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    renewed = CA.issue_cert("localhost")
    async with front(world, files.certificate()) as here:
        reader, writer = await here.connect(client())
        before = serial(writer)
        files.show(renewed)
        here.certificates.tick()
        here.certificates.tick()
        assert await here.shown() == serial_of(renewed) != before
        assert (await ask_over(reader, writer)).status == 200
        writer.close()
    assert told(caplog) == ["TLS files were reloaded"]


async def test_nothing_is_read_again_while_nothing_changes(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    certificates = Certificates(files.certificate())
    for _ in range(10):
        certificates.tick()
        certificates.look()
        certificates.obey(files.certificate())
    assert caplog.records == []


async def test_a_pair_that_is_being_written_is_left_alone(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = CA.issue_cert("localhost")
    async with front(world, files.certificate()) as here:
        before = await here.shown()
        put(files.cert, renewed.cert_chain_pems[0].bytes())
        here.certificates.tick()  # the key is still the old one's
        put(files.key, renewed.private_key_pem.bytes())
        here.certificates.tick()
        assert await here.shown() == before
        here.certificates.tick()
        assert await here.shown() == serial_of(renewed)
    assert told(caplog) == []


def folder_for_key(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()


BROKEN: dict[str, Callable[[Files], None]] = {
    "another key": lambda files: put(files.key, CA.issue_cert("localhost").private_key_pem.bytes()),
    "no certificate": lambda files: put(files.cert, b"-----BEGIN CERTIFICATE-----\n"),
    "empty key": lambda files: put(files.key, b""),
    "binary": lambda files: put(files.cert, b"\x30\x82\x00" * 100),
    "gone": lambda files: files.cert.unlink(),
    "a folder": folder_for_key,
    "no authority": lambda files: put(files.ca, b"nothing"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_files_that_cannot_be_used_change_nothing_and_are_told_once(
    name: str, world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    shown = client(shown=CA.issue_cert("caller"))
    async with front(world, files.certificate(client_ca=True)) as here:
        BROKEN[name](files)
        for _ in range(5):
            here.certificates.tick()
        here.certificates.look()
        assert (await here.ask(shown)).status == 200
        faults = [vars(record)["fields"] for record in caplog.records if record.message == "TLS files cannot be used"]
        assert len(faults) == 1
        assert faults[0]["old_one_stays"] is True
        assert str(files.cert) in faults[0]["files"]
        if name == "a folder":
            shutil.rmtree(files.key)
        renewed = CA.issue_cert("localhost")
        files.show(renewed).trust(CA)
        here.certificates.look()
        reader, writer = await here.connect(shown)
        assert serial(writer) == serial_of(renewed)
        assert (await ask_over(reader, writer)).status == 200
        writer.close()


async def test_a_new_table_may_name_other_files(world: World, files: Files, tmp_path: Path) -> None:
    issued = CA.issue_cert("localhost")
    others = Files(tmp_path, "others").show(issued)
    async with front(world, files.certificate()) as here:
        before = await here.shown()
        here.certificates.obey(Certificate(str(tmp_path / "none.crt"), str(tmp_path / "none.key")))
        assert await here.shown() == before
        here.certificates.obey(others.certificate())
        assert await here.shown() == serial_of(issued)


async def test_callers_may_be_asked_for_a_certificate_from_now_on(world: World, files: Files) -> None:
    async with front(world, files.certificate()) as here:
        assert (await here.ask(client())).status == 200
        here.certificates.obey(files.certificate(client_ca=True))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await here.ask(client())
        assert (await here.ask(client(shown=CA.issue_cert("caller")))).status == 200


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_from_the_beginning_is_one_sentence(name: str, files: Files) -> None:
    BROKEN[name](files)
    with pytest.raises(Unusable) as refused:
        Certificates(files.certificate(client_ca=True))
    assert str(files.cert) in str(refused.value)
    assert "\n" not in str(refused.value)


ON_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
from sidecar.decide.routing_table import Certificate
from sidecar.proxy.tls import Certificates, Unusable
try:
    Certificates(Certificate(sys.argv[2], sys.argv[3]))
except Unusable:
    print("refused")
"""


async def test_a_locked_key_asks_nobody_for_its_password(files: Files) -> None:
    """OpenSSL would ask on the terminal of whoever started the sidecar, and wait."""
    key = str(files.key.with_suffix(".locked"))
    await command("openssl", "pkey", "-aes128", "-passout", "pass:x", "-in", str(files.key), "-out", key)
    assert "ENCRYPTED" in Path(key).read_text(encoding="ascii")
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ON_A_TERMINAL, str(theirs), str(files.cert), key,
            stdout=asyncio.subprocess.PIPE, pass_fds=(theirs,),
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    assert said == b"refused\n"


def test_no_secret_of_a_connection_is_written_where_the_environment_says(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert Trusts().context(Trust(ca_file=str(files.ca))).keylog_filename is None
    assert Certificates(files.certificate()).keylog_filename is None
