from __future__ import annotations

from typing import Any

import pytest

from sidecar.app.reloading import reloaded
from sidecar.config import Settings

CN = {"dns": None, "common_name": "c"}
TOKEN = {"name": "a", "role": "admin", "token_env": "A"}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"upstream": "http://h:1"} | changes)


@pytest.mark.parametrize(
    ("changes", "waiting"),
    [
        ({}, ()),
        ({"limits": {"headers": 5}, "timeouts": {"body_s": 1}, "upstream": "http://h:2"}, ()),
        ({"access_log": {"mode": "full"}, "outcomes": {"early_s": 1}}, ()),
        ({"listen": "127.0.0.1:1", "workers": 2, "state_dir": "/x"}, ("listen", "workers", "state_dir")),
        ({"admin": {"listen": "127.0.0.1:2", "tokens": [TOKEN]}}, ("admin.listen", "admin.tokens")),
        ({"registry": {"uri": "file:/r"}}, ("registry",)),
        ({"telemetry": {"otlp_endpoint": "http://h:4318"}}, ("telemetry.otlp_endpoint",)),
        ({"tls": {"cert_file": "/c", "key_file": "/k"}}, ("tls",)),
    ],
)
def test_what_waits_for_a_restart_is_named_and_stays_as_it_was(
    changes: dict[str, Any], waiting: tuple[str, ...]
) -> None:
    now, read = settings(), settings(**changes)
    after, named = reloaded(now, read)
    assert named == waiting
    kept = {key.split(".")[0] for key in waiting}
    for key in Settings.model_fields:
        assert getattr(after, key) == getattr(now if key in kept else read, key), key


def test_another_certificate_counts_at_once_and_none_at_all_waits() -> None:
    now = settings(tls={"cert_file": "/c", "key_file": "/k"})
    other = settings(tls={"cert_file": "/c2", "key_file": "/k2"})
    assert reloaded(now, other) == (other, ())
    assert reloaded(now, settings()) == (now, ("tls",))


def test_what_waits_is_named_at_every_reload_until_the_restart() -> None:
    read = settings(workers=2)
    once, _ = reloaded(settings(), read)
    assert reloaded(once, read)[1] == ("workers",)


def test_other_tokens_count_at_once_but_never_none() -> None:
    other = TOKEN | {"name": "b"}
    now, more = settings(admin={"tokens": [TOKEN]}), settings(admin={"tokens": [TOKEN, other]})

    assert reloaded(now, more) == (more, ())
    assert reloaded(now, settings()) == (now, ("admin.tokens",))
    after, named = reloaded(now, settings(admin={"tokens": [other], "listen": "127.0.0.1:2"}))
    assert (after.admin.listen, after.admin.tokens[0].name, named) == (now.admin.listen, "b", ("admin.listen",))


def test_who_is_told_by_certificates_and_other_files_count_at_once_but_tls_itself_waits() -> None:
    tls = {"cert_file": "/c", "key_file": "/k", "client_ca_file": "/ca"}
    client = {"name": "c", "role": "viewer", "dns": "c"}
    now = settings(admin={"tls": tls, "clients": [client]})
    other = settings(admin={"tls": tls | {"cert_file": "/c2", "client_required": True}, "clients": [client | CN]})

    assert reloaded(now, other) == (other, ())
    assert reloaded(now, settings()) == (now, ("admin.tls", "admin.clients"))
    by_token = settings(admin={"tls": tls, "tokens": [TOKEN]})
    assert reloaded(now, by_token) == (by_token, ())
    after, named = reloaded(settings(), now)
    assert (after, named) == (settings(), ("admin.tls", "admin.clients"))
