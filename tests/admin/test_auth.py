from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.admin.api import build_app
from sidecar.admin.auth import Access, auth_token, same_site
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

TOKENS = [auth_token("alice", "operator", "s3cret"), auth_token("ci", "reporter", "other")]


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        ("Bearer s3cret", "alice"),
        ("bearer s3cret", "alice"),
        ("Bearer  s3cret ", "alice"),
        ("Bearer other", "ci"),
        ("Bearer S3CRET", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic s3cret", None),
        ("s3cret", None),
        ("Bearer s3cret other", None),
        ("Bearer \udcff", None),
        ("", None),
        (None, None),
    ],
)
def test_a_caller_is_who_holds_the_token(authorization: str | None, name: str | None) -> None:
    caller = Access(TOKENS, "127.0.0.1", ()).caller(authorization)
    assert (caller.name if caller else None) == name


def test_a_tokens_secret_is_not_kept() -> None:
    assert "s3cret" not in repr(TOKENS)


@pytest.mark.parametrize("secret", ["", "  "])
def test_an_empty_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        auth_token("alice", "operator", secret)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8081", True),
        ("127.0.0.1", True),
        ("127.8.9.1:80", True),
        ("localhost:8081", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("[::1]:8081", True),
        ("sidecar.internal:8081", True),
        ("10.1.2.3:8081", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8081", False),
        ("10.1.2.4", False),
        ("[::2]:8081", False),
        ("", False),
        ("@localhost", False),
    ],
)
def test_only_own_names_are_accepted_as_host(host: str, allowed: bool) -> None:
    access = Access((), "10.1.2.3", ("Sidecar.Internal",))
    assert access.host_allowed(headers(("Host", host))) is allowed


def test_two_host_headers_or_none_are_refused() -> None:
    access = Access((), "127.0.0.1", ())
    assert not access.host_allowed(headers())
    assert not access.host_allowed(headers(("Host", "localhost"), ("Host", "localhost")))


def test_bound_to_all_addresses_a_literal_address_is_accepted_and_a_foreign_name_is_not() -> None:
    access = Access(TOKENS, "0.0.0.0", ())
    assert access.host_allowed(headers(("Host", "10.1.2.3:8081")))
    assert not access.host_allowed(headers(("Host", "evil.example")))


@pytest.mark.parametrize(
    ("pairs", "same"),
    [
        ([], True),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "same-site")], False),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "")], False),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost:8081")], False),
        ([("Origin", "http://localhost:8081")], True),
        ([("Origin", "http://localhost:9999")], False),
        ([("Origin", "http://evil.example")], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
        ([("Origin", "http://localhost:8081"), ("Origin", "http://evil.example")], False),
    ],
)
def test_pages_of_other_sites_are_told_from_our_own(pairs: list[tuple[str, str]], same: bool) -> None:
    assert same_site(headers(("Host", "localhost:8081"), *pairs)) is same


async def client_of(aiohttp_client: Any, service: FakeService, **options: Any) -> Any:
    app = build_app(
        service, **{"tokens": (), "metrics_text": bytes, "metrics_open": True, "clock": lambda: NOW, **options}
    )
    return await aiohttp_client(app)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_a_page_elsewhere_cannot_promote(aiohttp_client: Any, sent: dict[str, str], status: int) -> None:
    service = FakeService(calm=True)
    client = await client_of(aiohttp_client, service)
    answer = await client.post(
        "/v1/deployments/fraud/promote",
        data=b'{"challenger":"4","reason":"x"}',
        headers={"Content-Type": "application/json", **sent},
    )
    assert answer.status == status
    assert len(service.calls) == (status == 200)


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/", 403), ("/v1/deployments", 403)]
)
async def test_a_rebound_name_reads_nothing_and_probes_still_work(aiohttp_client: Any, path: str, status: int) -> None:
    client = await client_of(aiohttp_client, FakeService())
    assert (await client.get(path, headers={"Host": "evil.example"})).status == status


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/v1/deployments", "/static/dashboard.js"])
async def test_every_answer_carries_the_security_headers(aiohttp_client: Any, path: str) -> None:
    answer = await (await client_of(aiohttp_client, FakeService())).get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "aiohttp" not in answer.headers["Server"]
