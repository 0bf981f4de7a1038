from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import refusal
from sidecar.wire.hop_by_hop import CREDENTIALS, HOP_BY_HOP, NEVER_NAMED, named_by_connection
from sidecar.wire.request_head import Headers, Refused, RequestHead, given_id, usable_id, without

HOST: Headers = [(b"Host", b"a")]


def read(
    headers: Headers | None = None, *, method: bytes = b"GET", target: bytes = b"/", version: str = "1.1"
) -> RequestHead:
    return RequestHead(method, target, version, HOST if headers is None else headers, keep_alive=True)


def lines(head: RequestHead) -> list[bytes]:
    return head.champion_bytes(None, "", b"i").split(b"\r\n")[1:-2]


@pytest.mark.parametrize(
    ("headers", "options", "why"),
    [
        (None, {"version": "0.9"}, refusal.BAD_VERSION),
        (None, {"version": "2.0"}, refusal.BAD_VERSION),
        (None, {"method": b"CONNECT", "target": b"a:80"}, refusal.CONNECT),
        ([], {}, refusal.BAD_HOST),
        ([(b"Host", b"a"), (b"host", b"a")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a b")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a/b")], {}, refusal.BAD_HOST),
        ([(b"Host", b"u@a")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a\xff")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a?b")], {}, refusal.BAD_HOST),
        (None, {"target": b"http://b/"}, refusal.BAD_HOST),
        (None, {"target": b"http:///x"}, refusal.BAD_HOST),
        (None, {"target": b"http://u@a/"}, refusal.BAD_HOST),
        (None, {"target": b"http://a?x"}, refusal.BAD_HOST),
        ([], {"target": b"http:///x", "version": "1.0"}, refusal.BAD_HOST),
        (None, {"target": b"*"}, refusal.BAD_TARGET),
        (None, {"target": b"a:80"}, refusal.BAD_TARGET),
        (None, {"target": b"ftp://a/"}, refusal.BAD_TARGET),
        (None, {"target": b"/a#b"}, refusal.BAD_TARGET),
        (None, {"target": b"http://a/#b"}, refusal.BAD_TARGET),
        ([*HOST, (b"Content-Length", b"1"), (b"Content-Length", b"1")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"Transfer-Encoding", b"chunked")], {"version": "1.0"}, refusal.BAD_FRAMING),
        ([*HOST, (b"Content_Length", b"1")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"TRANSFER_ENCODING", b"chunked")], {}, refusal.BAD_FRAMING),
        ([*HOST, (b"Expect", b"200-ok")], {}, refusal.BAD_EXPECTATION),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(
    headers: Headers | None, options: dict[str, object], why: refusal.Refusal
) -> None:
    with pytest.raises(Refused) as refused:
        read(headers, **options)  # type: ignore[arg-type]
    assert refused.value.why is why


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"0x1", b"1_0", b"1,1", b"1 1", b"\xd9\xa1", b"1.0"])
def test_a_length_is_digits_and_nothing_else(value: bytes) -> None:
    with pytest.raises(Refused):
        read([*HOST, (b"Content-Length", value)])


@pytest.mark.parametrize(
    "value", [b"", b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b'"chunked"', b"chunked ", b"xchunked"]
)
def test_the_only_coding_is_chunked_and_only_by_its_bare_name(value: bytes) -> None:
    with pytest.raises(Refused):
        read([*HOST, (b"Transfer-Encoding", value)])


def test_framing_is_understood() -> None:
    assert (read().length, read().chunked) == (None, False)
    assert read([*HOST, (b"Content-Length", b"007 \t")]).length == 7
    assert read([*HOST, (b"transfer-encoding", b"CHUNKED")]).chunked


@pytest.mark.parametrize(
    ("target", "method", "forwarded", "path"),
    [
        (b"/", b"GET", b"/", b"/"),
        (b"/a?b?c", b"GET", b"/a?b?c", b"/a"),
        (b"//a//..%2f", b"GET", b"//a//..%2f", b"//a//..%2f"),
        (b"*", b"OPTIONS", b"*", b"*"),
        (b"http://a", b"GET", b"/", b"/"),
        (b"HTTP://A/x?y", b"GET", b"/x?y", b"/x"),
        (b"https://a/x", b"GET", b"/x", b"/x"),
    ],
)
def test_targets_go_on_byte_exact_and_absolute_ones_in_origin_form(
    target: bytes, method: bytes, forwarded: bytes, path: bytes
) -> None:
    head = read(method=method, target=target)
    assert (head.target, head.path) == (forwarded, path)
    assert head.champion_bytes(None, "", b"i").startswith(b"%s %s HTTP/1.1\r\n" % (method, forwarded))


def test_another_path_keeps_the_query() -> None:
    assert read(target=b"/a?x=1").target_at("/b") == b"/b?x=1"
    assert read(target=b"/a").target_at("/b") == b"/b"


def test_http_1_0_without_a_host_gets_the_targets_or_the_destinations() -> None:
    assert b"host: d:9\r\n" in read([], version="1.0").champion_bytes(None, "d:9", b"i")
    assert b"host: d:9\r\n" in read([], version="1.0").shadow_bytes(None, "d:9", b"i", "4")
    absolute = read([], version="1.0", target=b"http://b:1/x").champion_bytes(None, "d:9", b"i")
    assert b"host: b:1\r\n" in absolute
    assert b"d:9" not in absolute


def test_an_expectation_is_met_here_and_means_nothing_in_http_1_0() -> None:
    head = read([*HOST, (b"Expect", b"100-Continue ")])
    assert head.asks_continue
    assert not any(line.lower().startswith(b"expect") for line in lines(head))
    assert not read([*HOST, (b"Expect", b"anything")], version="1.0").asks_continue


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP - {b"transfer-encoding"}))
def test_what_belongs_to_one_hop_stays_here(name: bytes) -> None:
    assert lines(read([*HOST, (name.title(), b"z"), (b"X", b"y")])) == [b"Host: a", b"X: y", b"x-request-id: i"]


def test_what_connection_names_is_taken_off_wherever_it_stands() -> None:
    head = read([(b"X-A", b"1"), *HOST, (b"Connection", b"close, x-a ,X-B"), (b"x-b", b"2"), (b"x-c", b"3")])
    assert lines(head) == [b"Host: a", b"x-c: 3", b"x-request-id: i"]


@pytest.mark.parametrize("name", sorted(NEVER_NAMED))
def test_connection_cannot_take_off_what_frames_authorises_joins_or_marks(name: bytes) -> None:
    headers = [(b"Connection", name), (b"Host", b"a")] + ([] if name == b"host" else [(name, b"1")])
    assert any(line.lower().startswith(name + b": ") for line in lines(read(headers)))
    assert named_by_connection(name.upper()) == frozenset()


def test_connection_options_are_no_names() -> None:
    assert named_by_connection(b"close, keep-alive,, Upgrade, X") == {b"x"}


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_credentials_reach_the_champion_and_no_copy(name: bytes) -> None:
    head = read([*HOST, (name.title(), b"secret"), (b"X", b"y")])
    assert b"secret" in head.champion_bytes(None, "", b"i")
    assert head.shadow_bytes(None, "", b"i", "4") == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nx-request-id: i\r\nsidecar-shadow: 4\r\n\r\n"
    )


def test_a_copy_is_known_by_its_mark() -> None:
    assert read([*HOST, (b"Sidecar-Shadow", b"4")]).is_shadow
    assert not read().is_shadow


@pytest.mark.parametrize(
    ("values", "known", "forwarded"),
    [
        ([], None, [b"minted"]),
        ([b"r"], b"r", [b"r"]),
        ([b"r \t"], b"r", [b"r \t"]),
        ([b"a", b"b"], b"a", [b"a"]),
        ([b"", b"b"], b"b", [b"b"]),
        ([b" "], None, [b"minted"]),
        ([b"x" * 257], None, [b"minted"]),
        ([b"x" * 256], b"x" * 256, [b"x" * 256]),
        ([b"\xff"], b"\xff", [b"\xff"]),
    ],
)
def test_exactly_one_request_id_goes_on(values: list[bytes], known: bytes | None, forwarded: list[bytes]) -> None:
    headers = [*HOST, *((b"X-Request-Id", value) for value in values)]
    head = read(headers)
    assert head.request_id == given_id(headers) == known
    sent = head.champion_bytes(None, "", b"minted").split(b"\r\n")
    assert [line.partition(b": ")[2] for line in sent if line.lower().startswith(b"x-request-id")] == forwarded
    assert not usable_id(b"")


def test_what_decoding_needs_is_noted_and_goes_on() -> None:
    head = read([*HOST, (b"Content-Type", b"x/y"), (b"Content-Encoding", b"gzip")])
    assert (head.content_type, head.content_encoding) == (b"x/y", b"gzip")
    assert lines(head)[1:3] == [b"Content-Type: x/y", b"Content-Encoding: gzip"]


NAMES = st.text("abcXYZ-_.~09", min_size=1, max_size=8).map(str.encode)
VALUES = st.binary(max_size=20).filter(lambda value: b"\r" not in value and b"\n" not in value)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=10))
def test_headers_keep_their_bytes_order_and_multiplicity(headers: Headers) -> None:
    headers = [(b"x-" + name, value) for name, value in headers if name.lower() != b"request-id"]
    head = read([*HOST, *headers])
    sent = head.champion_bytes(None, "", b"i")
    assert sent == b"".join(
        (b"GET / HTTP/1.1\r\nHost: a\r\n", *(b"%s: %s\r\n" % pair for pair in headers), b"x-request-id: i\r\n\r\n")
    ) or any(name.lower() == b"x-api-key" for name, _ in headers)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=10), st.frozensets(NAMES.map(bytes.lower), max_size=4))
def test_without_takes_off_the_named_and_keeps_the_rest(headers: Headers, names: frozenset[bytes]) -> None:
    flat = [part for name, value in headers for part in (name, b": ", value, b"\r\n")]
    kept = [part for name, value in headers if name.lower() not in names for part in (name, b": ", value, b"\r\n")]
    assert without(flat, names) == kept
