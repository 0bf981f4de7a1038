"""The audit trail in files: `audit head` and `audit export` tell what to keep elsewhere, `audit sign` signs once.

Keeps: a key comes from a file or a variable and is never shown; without a running sidecar nothing is written but what
was asked for. SQLAlchemy is loaded only where a state folder is read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sidecar.cli.answers import AuditCheck
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import with_admin_api
from sidecar.cli.failure import CommandFailed, printable

KEY_VARIABLE = "SIDECAR_AUDIT_KEY"
_PAGE = 1_000

_state_dir_option = click.option(
    "--state-dir", type=click.Path(path_type=Path), help="Read this folder itself, without a running sidecar."
)


def key_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds --key-file and --key-env."""
    by_file = click.option("--key-file", type=click.Path(path_type=Path), help="The file that holds the trail's key.")
    by_env = click.option("--key-env", metavar="NAME", help=f"The variable that holds it; else {KEY_VARIABLE}, if set.")
    return by_file(by_env(function))


@click.command("head")
@_state_dir_option
@key_options
@with_admin_api
def head_command(api: AdminClient, state_dir: Path | None, key_env: str | None, key_file: Path | None) -> None:
    """Print the trail's head, to be kept elsewhere: `sidecar audit head > FILE`."""
    if state_dir is None:
        if key_env is not None or key_file is not None:
            raise click.UsageError("a key counts with --state-dir; a running sidecar has its own")
        click.echo(api.get("/v1/audit/head").text)
        return
    import msgspec  # noqa: PLC0415

    from sidecar.control.offline_record import head_of  # noqa: PLC0415
    from sidecar.control.trail import read_trail  # noqa: PLC0415

    found = _told(lambda: head_of(read_trail(state_dir), _keys(key_env, key_file), time.time()))
    click.echo(msgspec.json.encode(found).decode())


@click.command("export")
@_state_dir_option
@with_admin_api
def export_command(api: AdminClient, state_dir: Path | None) -> None:
    """Print the whole trail as JSON lines that `sidecar audit verify --file` checks."""
    import msgspec  # noqa: PLC0415

    if state_dir is not None:
        from sidecar.control.offline_record import as_lines  # noqa: PLC0415
        from sidecar.control.trail import read_trail  # noqa: PLC0415

        click.echo(_told(lambda: as_lines(read_trail(state_dir))).decode(), nl=False)
        return
    after = 0
    while True:
        entries = _entries(api, after)
        for entry in entries:
            at_s = entry.pop("at_s", None)
            if not isinstance(at_s, int | float):
                raise CommandFailed("this sidecar is of a version that does not tell what the hashes cover")
            click.echo(msgspec.json.encode(entry | {"at": float(at_s)}).decode())
        if len(entries) < _PAGE:
            return
        after = entries[-1]["seq"]


@click.command("sign")
@click.option("--state-dir", type=click.Path(path_type=Path), required=True, help="Of a sidecar that does not run.")
@click.option("--key-name", required=True, help="What the key is called in the settings.")
@key_options
def sign_command(state_dir: Path, key_name: str, key_env: str | None, key_file: Path | None) -> None:
    """Sign the head once, when a key is new in the settings of an older trail. Look at the trail before you do."""
    from sidecar.control.trail import sign_head  # noqa: PLC0415

    keys = _keys(key_env, key_file, key_name)
    if keys.signs is None:
        raise CommandFailed(f"there is no key to sign with: give --key-file or --key-env, or set {KEY_VARIABLE}")
    signed = _told(lambda: sign_head(state_dir, keys, time.time()))
    click.echo(printable(f"signed with the key {key_name}: entry {signed.seq}, {signed.hash}"))


def read_head_file(path: Path) -> dict[str, Any]:
    """A head as `audit head` wrote it. CommandFailed where it is none."""
    import msgspec  # noqa: PLC0415

    from sidecar.recorded import SignedHead  # noqa: PLC0415

    try:
        found = msgspec.json.decode(path.read_bytes(), type=SignedHead)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read ({error.strerror})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise CommandFailed(f"{path} holds no head as `sidecar audit head` writes it") from None
    return msgspec.structs.asdict(found)


def verify_offline(
    state_dir: Path | None, trail: Path | None, head: Path | None, key_env: str | None, key_file: Path | None
) -> tuple[AuditCheck, str]:
    """Checks a folder or an exported file; what was found, and as JSON text."""
    import msgspec  # noqa: PLC0415

    from sidecar.control.offline_record import verify_lines  # noqa: PLC0415
    from sidecar.control.store import verify_state_dir  # noqa: PLC0415  # needs SQLAlchemy
    from sidecar.recorded import SignedHead  # noqa: PLC0415

    exported = None if head is None else SignedHead(**read_head_file(head))
    keys = _keys(key_env, key_file)
    if state_dir is not None:
        found = _told(lambda: verify_state_dir(state_dir, keys, exported))
    else:
        found = _told(lambda: verify_lines(Path(str(trail)), keys, exported))
    return msgspec.convert(msgspec.to_builtins(found), AuditCheck), msgspec.json.encode(found).decode()


def _entries(api: AdminClient, after: int) -> list[dict[str, Any]]:
    document = api.get("/v1/audit", after=after, limit=_PAGE).document
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "seq" in entry for entry in entries):
        raise CommandFailed(f"{api.url} does not answer as this version of sidecar expects; are both of one version?")
    return entries


def _keys(key_env: str | None, key_file: Path | None, name: str = "key") -> Any:
    """The keyring that was named; an empty one where none was."""
    if key_env is not None and key_file is not None:
        raise click.UsageError("give --key-file or --key-env, not both")
    from sidecar.control.offline_record import Keyring  # noqa: PLC0415

    if key_file is not None:
        try:
            secret = key_file.read_bytes().strip()
        except OSError as error:
            raise CommandFailed(f"{key_file} cannot be read ({error.strerror})") from None
    else:
        secret = os.environ.get(key_env or KEY_VARIABLE, "").strip().encode("utf-8", "surrogateescape")
        if not secret and key_env is not None:
            raise CommandFailed(f"the variable {key_env} holds no key: set it, or give --key-file")
        if not secret:
            return Keyring()
    try:
        return Keyring(((name, secret),))
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _told(work: Callable[[], Any]) -> Any:
    from sidecar.errors import SidecarError  # noqa: PLC0415

    try:
        return work()
    except SidecarError as fault:
        raise CommandFailed(str(fault)) from None
