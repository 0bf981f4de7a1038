from __future__ import annotations

import pytest

from sidecar.address import Address, parse_listen, parse_url


@pytest.mark.parametrize(
    ("text", "address", "again", "loopback"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), "127.0.0.1:8080", True),
        ("0.0.0.0:0", Address("0.0.0.0", 0), "0.0.0.0:0", False),
        ("[::1]:80", Address("::1", 80), "[::1]:80", True),
        ("localhost:1", Address("localhost", 1), "localhost:1", True),
        ("127.9.9.9:1", Address("127.9.9.9", 1), "127.9.9.9:1", True),
        ("models.example:65535", Address("models.example", 65535), "models.example:65535", False),
        ("unix:/run/s.sock", Address("", 0, "/run/s.sock"), "unix:/run/s.sock", True),
    ],
)
def test_what_can_be_listened_on(text: str, address: Address, again: str, loopback: bool) -> None:
    assert parse_listen(text) == address
    assert (str(address), address.loopback) == (again, loopback)


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "a:", "a:b", "a:65536", "a:999999", "a b:1", "a:1 ", "http://a:1", "::1:80",
     "unix:relative", "unix:", "unix:/a\0b", "unix:/" + "a" * 100],
)  # fmt: skip
def test_what_cannot_be_listened_on_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as fault:
        parse_listen(text)
    assert repr(text) in str(fault.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://a:8000", Address("a", 8000)),
        ("http://a:8000/", Address("a", 8000)),
        ("http://a", Address("a", 80)),
        ("http://[::1]:9", Address("::1", 9)),
        ("https://a", Address("a", 443, tls=True)),
        ("https://a:8443/", Address("a", 8443, tls=True)),
        ("unix:/m.sock", Address("", 0, "/m.sock")),
    ],
)
def test_where_a_model_server_can_be(text: str, address: Address) -> None:
    assert parse_url(text) == address


@pytest.mark.parametrize(
    "text",
    ["a:80", "ftp://a", "http://a/b", "http://u@a", "http://a:0", "http://", "http://a?x", "unix:m", "HTTPS://a",
     "https://a/b", "https://a:0", "https://", "https://u:p@a"],
)  # fmt: skip
def test_what_is_no_model_servers_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_url(text)


@pytest.mark.parametrize("text", ["https://unix:/m.sock", "https+unix:/m.sock", "https+unix://m.sock"])
def test_tls_over_a_unix_socket_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match="TLS is not spoken over a Unix socket; write unix:/path, or https://HOST:"):
        parse_url(text)
