"""Where a challenger that is set by a call may be: hostile places, however they are spelt."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.config_egress import egress_fault
from sidecar.config_file import ConfigFaults, read_challenger

METADATA = [
    "http://169.254.169.254", "http://169.254.169.254:80", "http://169.254.170.2", "http://169.254.169.253:8080",
    "http://2852039166", "http://0xa9fea9fe", "http://0xA9FEA9FE:80", "http://0251.0376.0251.0376",
    "http://169.254.43518", "http://169.16689662", "http://0xa9.0xfe.0xa9.0xfe", "http://169.254.169.254.",
    "http://[::ffff:169.254.169.254]", "http://[::ffff:a9fe:a9fe]:80", "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]", "http://[fe80::1]:80", "http://[fd00:ec2::254]", "http://[FD00:0EC2:0::254]",
    "http://metadata.google.internal", "http://METADATA.google.internal.:80", "http://metadata", "http://instance-data",
    "http://100.100.100.200", "http://192.0.0.192",
]  # fmt: skip
NOBODY = [
    "http://0.0.0.0:8000", "http://[::]:8000", "http://224.0.0.1", "http://255.255.255.255", "http://[ff02::1]",
    "http://127.1:8000", "http://0x7f.1", "http://1",
]  # fmt: skip
FINE = [
    "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:8001", "http://10.1.2.3:8080", "https://models.example.com",
    "http://fraud-4.models.svc.cluster.local:8080", "http://fraud-0x4:80", "http://v4.1a:80", "unix:/run/model.sock",
    "http://[2001:db8::1]:8080",
]  # fmt: skip


@pytest.mark.parametrize("url", [*METADATA, *NOBODY])
def test_no_copy_goes_where_credentials_are_or_where_nobody_is(url: str) -> None:
    assert egress_fault(url, ()) is not None
    if url.endswith((".254", "metadata")):  # not even where it is allowed by name
        assert egress_fault(url, (url.removeprefix("http://"),)) is not None


@pytest.mark.parametrize("url", FINE)
def test_models_are_anywhere_else(url: str) -> None:
    assert egress_fault(url, ()) is None


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("http://models.example.com:8080", True),
        ("http://MODELS.example.com", True),
        ("https://10.1.2.3:8443", True),
        ("http://10.1.2.3:8080", False),
        ("http://[2001:db8::1]:9", True),
        ("http://models.example.com.evil.example", False),
        ("http://127.0.0.1:8000", False),
        ("unix:/run/model.sock", False),
    ],
)
def test_a_list_lets_through_these_hosts_only(url: str, may: bool) -> None:
    allowed = ("models.example.com", "10.1.2.3:8443", "[2001:db8::1]")

    assert (egress_fault(url, allowed) is None) is may


def test_a_call_is_refused_and_the_file_is_not_judged() -> None:
    version = {"version": "4", "url": "http://169.254.1.1:8000"}
    document: dict[str, Any] = {"deployments": [{"name": "fraud", "champion": {"version": "3", "url": "http://h:1"}}]}
    settings = Settings.model_validate(document)

    with pytest.raises(ConfigFaults, match="credentials") as refused:
        read_challenger(version, settings)
    assert [fault.key for fault in refused.value.faults] == ["url"]

    document["deployments"][0]["challengers"] = [version]
    assert Settings.model_validate(document).deployments[0].challengers[0].url == version["url"]


def test_the_settings_name_the_hosts() -> None:
    settings = Settings.model_validate(
        {"upstream": "http://h:1", "admin": {"challenger_hosts": ["models.internal:8080"]}}
    )

    with pytest.raises(ConfigFaults, match=r"not among admin\.challenger_hosts"):
        read_challenger({"version": "4", "url": "http://10.0.0.1:22"}, settings)
    assert read_challenger({"version": "4", "url": "http://models.internal:8080"}, settings).version == "4"
