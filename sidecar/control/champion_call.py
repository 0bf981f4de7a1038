"""One inference asked of the champion on the sidecar's own account, outside of the data plane.

Keeps: its own header, so that it is never taken for traffic (a sidecar in between counts it as a copy, too); a
deadline; no redirect; an answer of at most 1 MiB. Carries no credentials.
Does not: choose what to ask nor when (`rescoring` does).
Called by: rescoring and the noise floor, through control's composition root.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
from yarl import URL

from sidecar.address import parse_url
from sidecar.decide.routing_table import Trust
from sidecar.records import Answer
from sidecar.standing import Target

# Longer than most models take: one that callers wait for may be asked, too, one request at a time.
DEADLINE_S = 10.0
HEADERS = {"content-type": "application/json", "sidecar-shadow": "rescore", "accept-encoding": "identity"}
# How much of a body is JSON before raw tensors begin (Open Inference Protocol, binary data extension).
JSON_BYTES = "inference-header-content-length"
_ANSWER_BYTES = 1 << 20


async def ask_champion(
    target: Target, path: str, body: bytes, trust: Trust | None = None, headers: Mapping[str, str] | None = None
) -> Answer | None:
    """The answer to one request, whatever its status; None where none came in time or whole.

    `headers` take the place of those of the same name.
    """
    address = parse_url(target.url)
    connector = aiohttp.UnixConnector(address.unix) if address.unix else aiohttp.TCPConnector()
    base = f"{'https' if address.tls else 'http'}://{'localhost' if address.unix else address}"
    url = URL(base + quote(target.path or path, safe="/:?&=%@!$'()*+,;~-._"), encoded=True)
    server_name = trust.server_name if trust is not None and trust.server_name else None
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        context = None if trust is None else _context(trust)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
            session.post(
                url,
                data=body,
                headers={**HEADERS, **(headers or {})},
                allow_redirects=False,
                ssl=context or True,
                server_hostname=server_name,
            ) as answer,
        ):
            content = bytearray()
            while chunk := await answer.content.read(_ANSWER_BYTES + 1 - len(content)):
                content += chunk
                if len(content) > _ANSWER_BYTES:
                    return None
            told = answer.headers
            json_bytes = told.get(JSON_BYTES, "")
            return Answer(
                answer.status,
                told.get("content-type", ""),
                told.get("content-encoding", ""),
                bytes(content),
                int(json_bytes) if json_bytes.isascii() and json_bytes.isdecimal() and len(json_bytes) < 12 else -1,
            )
    except (TimeoutError, aiohttp.ClientError, OSError):
        return None


def _context(trust: Trust) -> ssl.SSLContext:
    """Verifies the server by its name; raises OSError for files that cannot be used."""
    context = ssl.create_default_context(cafile=trust.ca_file or None)
    if trust.cert_file:
        context.load_cert_chain(trust.cert_file, trust.key_file)
    return context
