from __future__ import annotations

import base64
from typing import Any

import pytest

from registry_client.access import Access, may_be_asked, origin_and_path, refused_address
from registry_client.errors import InvalidName, RegistryError

BASE = origin_and_path("https://mlflow.example.com")[0]


def test_nobody_in_particular_asks_without_credentials() -> None:
    assert Access().authorization is None


def test_a_token_goes_as_a_bearer_and_a_user_as_basic_which_wins() -> None:
    assert Access(token="t0ken").authorization == "Bearer t0ken"
    both = Access(token="t0ken", user="ann", password="pä:ss").authorization or ""
    scheme, _, carried = both.partition(" ")
    assert (scheme, base64.b64decode(carried).decode()) == ("Basic", "ann:pä:ss")


@pytest.mark.parametrize(
    "settings",
    [
        {"token": ""},
        {"token": "a\r\nX-Evil: 1"},
        {"token": "a\0"},
        {"token": "ü"},
        {"user": "ann"},
        {"password": "secret"},
        {"user": "ann", "password": "a\nb"},
        {"user": "a:b", "password": "secret"},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": float("nan")},
        {"timeout_s": 1e9},
        {"hosts": ("http://host",)},
        {"hosts": ("host:0",)},
        {"hosts": ("host:65536",)},
        {"hosts": ("user@host",)},
        {"hosts": ("*",)},
        {"hosts": ("",)},
        {"hosts": ("host/path",)},
        {"hosts": ("127.1",)},
    ],
)
def test_what_cannot_be_sent_or_meant_is_refused_without_being_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(RegistryError) as caught:
        Access(**settings)
    assert "secret" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    access = Access(token="t0ken", user="ann", password="hunter2")
    assert "t0ken" not in repr(access)
    assert "hunter2" not in repr(access)
    carried = (access.authorization or "").partition(" ")[2]
    assert access.without_secrets(f"no t0ken, no hunter2, no {carried}, but ann") == "no …, no …, no …, but ann"
    assert Access().without_secrets("as it was") == "as it was"


def test_the_environment_is_read_by_mlflows_names() -> None:
    access = Access.from_environment(
        {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem", "MLFLOW_TRACKING_USERNAME": ""}
    )
    assert access == Access(token="t", ca_file="/ca.pem")
    assert Access.from_environment({}) == Access()


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("http://mlflow", "http://mlflow", ""),
        ("http://mlflow:5000", "http://mlflow:5000", ""),
        ("http://mlflow:80/", "http://mlflow", "/"),
        ("https://MLflow.Example.com:443/a/b/", "https://mlflow.example.com", "/a/b/"),
        ("http://ml_flow", "http://ml_flow", ""),
        ("http://127.0.0.1:1", "http://127.0.0.1:1", ""),
        ("http://[::1]:5000/x", "http://[::1]:5000", "/x"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]", ""),
    ],
)
def test_plain_addresses_are_taken_apart(url: str, origin: str, path: str) -> None:
    found, below = origin_and_path(url)
    assert (str(found), below) == (origin, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mlflow",
        "//mlflow",
        "ftp://mlflow",
        "HTTP://",
        "http://",
        "http:///path",
        "http://user@mlflow",
        "http://user:hunter2@mlflow",
        "http://mlflow@evil",
        "http://mlflow#@evil",
        "http://mlflow\\@evil",
        "http://mlflow\\.evil",
        "http://mlflow?x",
        "http://mlflow/#x",
        "http://mlflow/a?b",
        "http://ml flow",
        "http://mlflow\n.evil",
        "http://mlflow\0",
        "http://mlflow.",
        "http://.mlflow",
        "http://mlflow..evil",
        "http://-mlflow",
        "http://mlflow:",
        "http://mlflow:0",
        "http://mlflow:99999",
        "http://mlflow:80:80",
        "http://mlflow:8O",
        "http://mlflоw",  # noqa: RUF001 -- a Cyrillic letter
        "http://mlflow。evil",  # another full stop, which IDNA takes for one
        "http://%6dlflow",
        "http://2130706433",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://127.1",
        "http://127.0.0.1.",
        "http://0x7f.1",
        "http://1.2.3.4.5",
        "http://[::1",
        "http://[::g]",
        "http://[::1%25eth0]",
        "http://[127.0.0.1]",
        f"http://mlflow/{'x' * 3_000}",
    ],
)
def test_what_two_parsers_could_read_differently_is_no_address(url: str) -> None:
    with pytest.raises(InvalidName) as caught:
        origin_and_path(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "hosts", "allowed"),
    [
        ("https://mlflow.example.com/x", (), True),
        ("https://mlflow.example.com:443", (), True),
        ("https://mlflow.example.com:8443", (), False),
        ("http://mlflow.example.com", (), False),
        ("https://files.example.com", (), False),
        ("https://files.example.com", ("files.example.com",), True),
        ("https://FILES.example.com", ("Files.Example.com",), True),
        ("https://files.example.com:9000", ("files.example.com",), False),
        ("https://files.example.com:9000", ("files.example.com:9000",), True),
        ("http://files.example.com", ("files.example.com",), False),
        ("https://a.files.example.com", ("files.example.com",), False),
        ("https://files.example.com.evil.org", ("files.example.com",), False),
        ("https://10.0.0.1", ("10.0.0.1",), True),
        ("https://10.0.0.1", ("10.0.0.2",), False),
        ("https://[::1]:9000", ("[0::1]:9000",), True),
    ],
)
def test_only_named_hosts_may_be_asked_and_never_in_clear_beside_tls(
    wanted: str, hosts: tuple[str, ...], allowed: bool
) -> None:
    assert may_be_asked(origin_and_path(wanted)[0], BASE, hosts) is allowed


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("93.184.216.34", False),
        ("fd12::1", False),
        ("169.254.169.254", True),
        ("169.254.1.1", True),
        ("::ffff:169.254.169.254", True),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("0.0.0.0", True),
        ("::", True),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("255.255.255.255", True),
        ("240.0.0.1", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", True),
        ("not an address", True),
    ],
)
def test_a_name_may_not_lead_where_no_registry_lives(address: str, refused: bool) -> None:
    assert (refused_address("mlflow", address) is not None) is refused


def test_an_address_that_is_named_itself_is_meant() -> None:
    assert refused_address("169.254.7.7", "169.254.7.7") is None
    assert refused_address("fe80::7", "fe80::7") is None
