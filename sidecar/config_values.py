"""The kinds of values that settings have, each checked once with a sentence for people, and the section they stand in.

Reads no file and knows no setting's name. Used by the `config…` modules that define settings.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sidecar.address import parse_listen, parse_url
from sidecar.json_path import parse_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]")
_AUTHORITY = re.compile(rf"({_HOST.pattern})(:[0-9]{{1,5}})?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2
_FIELD_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]{0,4094}[\x21-\x7e])?")  # section 5.5, without obs-text
_ENDPOINT = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[!$&'()*+,;=:@%A-Za-z0-9._~/-]*)?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# What frames a message or belongs to one hop (RFC 9110 section 7.6.1, RFC 9112 section 6).
FRAMING = frozenset(
    {
        "connection", "content-length", "content-encoding", "content-type", "expect", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    }
)  # fmt: skip
# What joins a copy to its request; the sidecar writes these itself.
_JOINING = frozenset({"x-request-id", "traceparent", "tracestate"})


class Section(BaseModel):
    """A part of the file: frozen, strict; no unknown keys, and no infinities, which would switch a check off unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r}: a name is up to 128 letters, digits, dots, dashes and underscores")
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or any(c in text for c in " ?#\r\n\t") or "*" in text[:-1]:
        raise ValueError(f"{text!r}: a path begins with / and may end in one *; no query, no spaces")
    return text


def _listen(text: str) -> str:
    parse_listen(text)
    return text


def _json_path(text: str) -> str:
    parse_path(text)
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r}: a host is a name or an address as a Host header has it, without scheme and port")
    return text


def _authority(text: str) -> str:
    if not _AUTHORITY.fullmatch(text):
        raise ValueError(f"{text!r}: a host is a name or an address, with a port where it needs one, without scheme")
    return text


def _url(text: str) -> str:
    parse_url(text)
    return text


def _quantile(value: float) -> float:
    if value not in (0.5, 0.99):
        raise ValueError("the quantiles that are kept are 0.5 and 0.99")
    return value


def _endpoint(text: str) -> str:
    if not _ENDPOINT.fullmatch(text):
        raise ValueError(f"{text!r} is no address such as http://127.0.0.1:4318/v1/traces (secrets go in headers_env)")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"{text!r}: an environment variable's name has letters, digits and underscores")
    return text


def _file(text: str) -> str:
    if not text or "\0" in text or not text.isprintable():
        raise ValueError("a file's path is not empty and has no control characters")
    return text


def _header_name(text: str) -> str:
    lowered = text.lower()
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r}: a header's name has letters, digits and dashes")
    if lowered in FRAMING:
        raise ValueError(f"{text!r} describes the body or belongs to one hop: it cannot be used")
    return text


def _own_header_name(text: str) -> str:
    lowered = _header_name(text).lower()
    if lowered in _JOINING or lowered.startswith("sidecar-"):
        raise ValueError(f"{text!r} is written by the sidecar itself: it cannot be set")
    return text


def _header_value(text: str) -> str:
    # The value itself is never repeated: it may be a secret.
    if not _FIELD_VALUE.fullmatch(text):
        raise ValueError(
            "a header's value has 1 to 4096 printable ASCII characters, on one line, without spaces around it"
        )
    return text


def _distinct_headers(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("two headers have the same name: upper and lower case mean the same")
    host = next((value for name, value in headers.items() if name.lower() == "host"), None)
    if host is not None and not _AUTHORITY.fullmatch(host):
        raise ValueError("the header host is a name or an address, with a port where it needs one")
    return headers


Name = Annotated[str, AfterValidator(_name)]
Path = Annotated[str, AfterValidator(_path)]
Listen = Annotated[str, AfterValidator(_listen)]
JsonPath = Annotated[str, AfterValidator(_json_path)]
Host = Annotated[str, AfterValidator(_host)]
Authority = Annotated[str, AfterValidator(_authority)]
Url = Annotated[str, AfterValidator(_url)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Variable = Annotated[str, AfterValidator(_variable)]
File = Annotated[str, AfterValidator(_file)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, le=1 << 40)]
BytesOrOff = Annotated[int, Field(ge=0, le=1 << 40)]
Quantile = Annotated[float, AfterValidator(_quantile)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
OwnHeaders = Annotated[
    dict[Annotated[str, AfterValidator(_own_header_name)], Annotated[str, AfterValidator(_header_value)]],
    Field(max_length=32),
    AfterValidator(_distinct_headers),
]
# A version typed without quotes (`version: 3`) means the text "3"; nothing else is converted anywhere.
Version = Annotated[Name, BeforeValidator(lambda v: str(v) if type(v) is int else v)]
