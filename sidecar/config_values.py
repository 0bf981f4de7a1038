"""The kinds of values that settings have: each is checked once, with a sentence for people. Used by `config` alone."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from sidecar.address import parse_listen, parse_url

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]")


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


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r}: a host is a name or an address as a Host header has it, without scheme and port")
    return text


def _url(text: str) -> str:
    parse_url(text)
    return text


def _quantile(value: float) -> float:
    if value not in (0.5, 0.99):
        raise ValueError("the quantiles that are kept are 0.5 and 0.99")
    return value


Name = Annotated[str, AfterValidator(_name)]
Path = Annotated[str, AfterValidator(_path)]
Listen = Annotated[str, AfterValidator(_listen)]
Host = Annotated[str, AfterValidator(_host)]
Url = Annotated[str, AfterValidator(_url)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, le=1 << 40)]
Quantile = Annotated[float, AfterValidator(_quantile)]
# A version typed without quotes (`version: 3`) means the text "3"; nothing else is converted anywhere.
Version = Annotated[Name, BeforeValidator(lambda v: str(v) if type(v) is int else v)]
