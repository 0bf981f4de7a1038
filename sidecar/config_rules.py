"""What settings mean for each other and for the files that they name: rules that no single section can know.

Keeps: a setting that would do nothing, or that could not work, is a fault with its place. Reads certificates and keys,
to know beforehand that they can be used; repeats nothing of them. Called by `config_file`.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from sidecar.address import parse_listen, parse_url
from sidecar.config import Deployment, Settings
from sidecar.config_document import Place
from sidecar.config_gates import ApprovalsGate, PairsGate
from sidecar.config_registry import PLACEHOLDER, FromRegistry
from sidecar.config_tls import ServerTls
from sidecar.config_versions import Challenger, ClientTls, ShadowBounds

Told = Iterator[tuple[Place, str]]

# Below this a worker would shed from its first request on: it needs about half of it for itself.
LEAST_MEMORY_BYTES = 67_108_864
# Who acts where no person does, as the audit trail has it.
NOBODYS_NAMES = ("sidecar", "registry", "anonymous")
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def settings_faults(settings: Settings) -> Told:
    """Every rule, over the whole file."""
    yield from _front(settings.tls, settings.listen, "listen", ("tls",))
    yield from _front(settings.admin.tls, settings.admin.listen, "admin.listen", ("admin", "tls"))
    yield from _upstream(settings)
    yield from _people(settings)
    if settings.registry is not None and settings.registry.ca_file is not None:
        yield from _authorities(settings.registry.ca_file, ("registry", "ca_file"))
    yield from _record(settings)
    yield from _identity(settings)
    for number, deployment in enumerate(settings.deployments):
        place: Place = ("deployments", number)
        yield from _nobody_looks(deployment, (*place, "promotion", "mode"))
        yield from _zone(deployment.promotion.hours.zone, (*place, "promotion", "hours", "zone"))
        yield from _approvals(deployment, settings, (*place, "gates", "approvals", "min"))
        if deployment.champion is not None:
            yield from _loop(deployment.champion.url, settings, (*place, "champion", "url"))
            yield from _client_tls(deployment.champion.tls, (*place, "champion", "tls"))
        if deployment.from_registry is not None:
            yield from _from_registry(deployment.from_registry, settings, (*place, "from_registry"))
        for index, challenger in enumerate(deployment.challengers):
            for inner, says in challenger_faults(challenger, settings):
                yield (*place, "challengers", index, *inner), says
    if 0 < settings.limits.memory_bytes < LEAST_MEMORY_BYTES:
        yield ("limits", "memory_bytes"), f"must be 0 or at least {LEAST_MEMORY_BYTES}: a worker itself needs that much"
    if settings.access_log.path is not None:
        yield from _log_file(Path(settings.access_log.path))
    if settings.telemetry.otlp_endpoint is not None and not _installed(_EXPORTER):
        yield (
            ("telemetry", "otlp_endpoint"),
            "needs the extra `otel`, which is not installed: pip install sidecar[otel]",
        )


def challenger_faults(challenger: Challenger, settings: Settings) -> Told:
    """The rules about one challenger; places are its own keys."""
    yield from _loop(challenger.url, settings, ("url",))
    yield from _client_tls(challenger.tls, ("tls",))
    yield from _bounds(challenger, settings, ())


def _bounds(bounds: ShadowBounds, settings: Settings, place: Place) -> Told:
    most = settings.limits.mirror_bytes
    if bounds.copy_bytes is not None and bounds.copy_bytes > most:
        yield (*place, "copy_bytes"), f"is above limits.mirror_bytes ({most}), so it would never be reached"


def _from_registry(named: FromRegistry, settings: Settings, place: Place) -> Told:
    if settings.registry is None:
        yield place, "needs the key registry (uri: file:./folder or mlflow+http://HOST:PORT)"
    if named.url is not None:
        yield from _loop(named.url.replace(PLACEHOLDER, "x"), settings, (*place, "url"))
    yield from _client_tls(named.tls, (*place, "tls"))
    yield from _bounds(named.shadow, settings, (*place, "shadow"))


def _people(settings: Settings) -> Told:
    """The trail tells people from the machine by their names alone."""
    named = [("tokens", number, token.name) for number, token in enumerate(settings.admin.tokens)]
    named += [("clients", number, client.name) for number, client in enumerate(settings.admin.clients)]
    for kind, number, name in named:
        if name in NOBODYS_NAMES:
            yield ("admin", kind, number, "name"), f"{name!r} is who acts by itself: give another name"


def _zone(name: str, place: Place) -> Told:
    if name == "UTC":
        return
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # not found is a KeyError
        yield place, f"{name!r} is no time zone of this machine's IANA database, such as Europe/Berlin, or UTC"


def _nobody_looks(deployment: Deployment, place: Place) -> Told:
    """Where no gate asks for any data, having none would be a pass, and nobody is there to see it."""
    if deployment.promotion.mode == "auto" and not isinstance(deployment.gates.pairs, PairsGate):
        yield place, "auto needs gate pairs: without it a version would be promoted before it has answered anything"


def _approvals(deployment: Deployment, settings: Settings, place: Place) -> Told:
    gate = deployment.gates.approvals
    if not isinstance(gate, ApprovalsGate) or gate.min == 0:
        return
    people = sum(role in ("operator", "admin") for role in settings.admin.people.values())
    # Where the machine promotes, nobody who agrees does.
    alone = gate.promoter_counts or deployment.promotion.mode == "auto"
    needed = gate.min + (0 if alone else 1)
    if people < needed:
        yield (
            place,
            f"needs {needed} people with names of their own (admin.tokens: operator or admin), there are {people}",
        )


def _record(settings: Settings) -> Told:
    """Who is told, and the trail's keys."""
    for number, receiver in enumerate(settings.events):
        if receiver.ca_file is not None:
            yield from _authorities(receiver.ca_file, ("events", number, "ca_file"))
    for number, key in enumerate(settings.audit.keys):
        says = None if key.key_file is None else _unreadable(key.key_file)
        if says is not None:
            yield ("audit", "keys", number, "key_file"), says


def _front(tls: ServerTls, listen: str, key: str, place: Place) -> Told:
    if tls.cert_file is None or tls.key_file is None:
        return
    if parse_listen(listen).unix:
        yield place, f"TLS is not spoken on a Unix socket: let {key} be HOST:PORT, or leave tls out"
    yield from _pair(tls.cert_file, tls.key_file, place)
    if tls.client_ca_file is not None:
        yield from _authorities(tls.client_ca_file, (*place, "client_ca_file"))


def _loop(url: str, settings: Settings, place: Place) -> Told:
    """A request that comes back to the sidecar would go round for ever."""
    to = parse_url(url)
    for key, listen in (("listen", settings.listen), ("admin.listen", settings.admin.listen)):
        here = parse_listen(listen)
        same_host = to.host == here.host or (to.loopback and (here.loopback or here.host in ("0.0.0.0", "::")))
        if (to.unix, to.port) == (here.unix, here.port) and same_host and (to.unix or to.port):
            yield place, f"{url!r} is the sidecar's own {key}: give the model server's address"


def _upstream(settings: Settings) -> Told:
    addresses = [parse_url(version.url) for deployment in settings.deployments for version in deployment.versions]
    templates = [d.from_registry for d in settings.deployments if d.from_registry is not None]
    addresses += [template.address() for template in templates if template.url is not None]
    addresses += [] if settings.upstream is None else [parse_url(settings.upstream)]
    if settings.upstream_tls != ClientTls() and not any(address.tls for address in addresses):
        yield ("upstream_tls",), "has no effect: no url begins with https://"
    else:
        yield from _client_tls(settings.upstream_tls, ("upstream_tls",))
    if settings.upstream is not None:
        yield from _loop(settings.upstream, settings, ("upstream",))
    if settings.upstream_upgrades and settings.upstream is None and len(settings.deployments) != 1:
        yield ("upstream_upgrades",), "has no effect without upstream: what matches no deployment is refused"


def _client_tls(tls: ClientTls, place: Place) -> Told:
    if tls.ca_file is not None:
        yield from _authorities(tls.ca_file, (*place, "ca_file"))
    if tls.cert_file is not None and tls.key_file is not None:
        yield from _pair(tls.cert_file, tls.key_file, place)


def _authorities(file: str, place: Place) -> Told:
    says = _unreadable(file)
    if says is None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except (ssl.SSLError, OSError):
            says = f"{file!r} holds no certificates in PEM form"
    if says is not None:
        yield place, says


def _pair(cert_file: str, key_file: str, place: Place) -> Told:
    """A certificate chain and its key; each is looked at, then whether they belong together."""
    faults = [((*place, name), _unreadable(file)) for name, file in (("cert_file", cert_file), ("key_file", key_file))]
    told = [(where, says) for where, says in faults if says is not None]
    yield from told
    if told:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except _Locked:
        yield (*place, "key_file"), f"{key_file!r} is locked by a password; give a key without one"
    except ssl.SSLError as fault:
        if fault.reason == "KEY_VALUES_MISMATCH":
            yield (*place, "key_file"), f"{key_file!r} is not the key of the certificate in {cert_file!r}"
        elif not _is_certificate(cert_file):
            yield (*place, "cert_file"), f"{cert_file!r} holds no certificate in PEM form"
        else:
            yield (*place, "key_file"), f"{key_file!r} holds no private key in PEM form"
    except OSError:
        yield (*place, "key_file"), f"{key_file!r} holds no private key in PEM form"


class _Locked(Exception):
    """A key asks for a password; nobody is there to type it."""


def _no_password() -> str:
    raise _Locked


def _is_certificate(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError):
        return False
    return True


def _unreadable(file: str) -> str | None:
    """Why a file cannot be used."""
    path = Path(file)
    if path.exists() and not path.is_file():
        return f"{file!r} is no file"
    try:
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as fault:
        return f"{file!r} cannot be read: {(fault.strerror or str(fault)).lower()}"
    return None


def _log_file(path: Path) -> Told:
    place = ("access_log", "path")
    if path.is_dir():
        yield place, f"{str(path)!r} is a directory; give a file in it"
    elif not path.parent.is_dir():
        yield place, f"the folder {str(path.parent)!r} does not exist: create it"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        yield place, f"{str(path)!r} cannot be written by this user"


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _identity(settings: Settings) -> Told:
    oidc = settings.admin.oidc
    if oidc is not None:
        if not _installed("jwt"):
            yield ("admin", "oidc"), "needs the extra `oidc`, which is not installed: pip install serving-sidecar[oidc]"
        if oidc.ca_file is not None:
            yield from _authorities(oidc.ca_file, ("admin", "oidc", "ca_file"))
