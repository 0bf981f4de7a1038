from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import refusal
from sidecar.wire.copy_head import CopyHead
from sidecar.wire.hop_by_hop import CREDENTIALS, HOP_BY_HOP, NEVER_NAMED, named_by_connection
from sidecar.wire.request_head import Headers, Refused, RequestHead, given_id, usable_id

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
        (None, {"target": b"http://a:b/"}, refusal.BAD_HOST),
        (None, {"target": b"http://[a/"}, refusal.BAD_HOST),
        ([(b"Host", b"a:b")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a:1:2")], {}, refusal.BAD_HOST),
        ([(b"Host", b"[::1")], {}, refusal.BAD_HOST),
        ([(b"Host", b"::1")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a[::1]")], {}, refusal.BAD_HOST),
        ([(b"Host", b"a%zz")], {}, refusal.BAD_HOST),
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


@pytest.mark.parametrize("value", [b"0" * 41, b"", b"+1", b"-1", b"0x1", b"1_0", b"1,1", b"1 1", b"\xd9\xa1", b"1.0"])
def test_a_length_is_digits_and_nothing_else(value: bytes) -> None:
    with pytest.raises(Refused):
        read([*HOST, (b"Content-Length", value)])


@pytest.mark.parametrize(
    "value", [b"", b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b'"chunked"', b"chunked ", b"xchunked"]
)
def test_the_only_coding_is_chunked_and_only_by_its_bare_name(value: bytes) -> None:
    with pytest.raises(Refused):
        read([*HOST, (b"Transfer-Encoding", value)])


@pytest.mark.parametrize(
    "value", [b"", b"a", b"A-b.c:80", b"1.2.3.4:", b"[::1]", b"[2001:db8::1]:8080", b"[v1.a:b]", b"a%2f"]
)
def test_a_host_is_a_name_or_an_address_and_a_port(value: bytes) -> None:
    assert read([(b"Host", value)]).host == value


@pytest.mark.parametrize(
    ("value", "said"), [(b"007", b"7"), (b"7 \t", b"7"), (b"0", b"0"), (b"00", b"0"), (b"70", b"70")]
)
def test_a_length_is_said_in_one_way_only(value: bytes, said: bytes) -> None:
    assert lines(read([*HOST, (b"content-LENGTH", value)]))[1] == b"content-LENGTH: " + said


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
        (b"http://a?x", b"GET", b"/?x", b"/"),
        (b"http://a?x/y", b"GET", b"/?x/y", b"/"),
        (b"http://a", b"OPTIONS", b"*", b"*"),
        (b"http://a/", b"OPTIONS", b"/", b"/"),
        (b"http://a?", b"OPTIONS", b"/?", b"/"),
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
    assert b"host: d:9\r\n" in read([], version="1.0").copy_bytes(CopyHead(None, "d:9", "4", ()), b"i")
    absolute = read([], version="1.0", target=b"http://b:1/x").champion_bytes(None, "d:9", b"i")
    assert b"host: b:1\r\n" in absolute
    assert b"d:9" not in absolute


def test_an_expectation_is_met_here_and_means_nothing_in_http_1_0() -> None:
    head = read([*HOST, (b"Expect", b"100-Continue ")])
    assert head.asks_continue
    assert not any(line.lower().startswith(b"expect") for line in lines(head))
    assert not read([*HOST, (b"Expect", b"anything")], version="1.0").asks_continue


@pytest.mark.parametrize(
    ("headers", "version", "asked"),
    [
        ([(b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"WebSocket")], "1.1", b"WebSocket"),
        ([(b"Upgrade", b"a"), (b"Connection", b"x"), (b"Connection", b"upgrade"), (b"Upgrade", b"b")], "1.1", b"a, b"),
        ([(b"Upgrade", b"websocket")], "1.1", b""),
        ([(b"Connection", b"upgrade")], "1.1", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b" ")], "1.1", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"websocket")], "1.0", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"h2c")], "1.1", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"H2C, h2c")], "1.1", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"x"), (b"Content-Length", b"1")], "1.1", b""),
        ([(b"Connection", b"upgrade"), (b"Upgrade", b"x"), (b"Transfer-Encoding", b"chunked")], "1.1", b""),
    ],
)
def test_an_upgrade_is_asked_for_where_it_could_be_granted(headers: Headers, version: str, asked: bytes) -> None:
    head = read([*HOST, *headers], version=version)
    assert head.upgrade == asked
    assert not any(line.lower().startswith((b"upgrade", b"connection")) for line in lines(head))
    if asked:
        assert not head.plain
        assert head.asking_upgrade(b"GET / HTTP/1.1\r\n\r\n") == (
            b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: %s\r\n\r\n" % asked
        )


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
    assert head.copy_bytes(CopyHead(None, "", "4", ()), b"i") == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nsidecar-shadow: 4\r\nx-request-id: i\r\n\r\n"
    )


def test_a_challengers_own_headers_replace_the_callers_of_the_same_name() -> None:
    head = read([*HOST, (b"X-Tenant", b"a"), (b"x-tenant", b"b"), (b"X", b"y")])
    copy = CopyHead("/other", "", "4", (("Host", "challenger"), ("x-Tenant", "shadow")))
    assert head.copy_bytes(copy, b"i") == (
        b"GET /other HTTP/1.1\r\nX: y\r\nsidecar-shadow: 4\r\nHost: challenger\r\nx-Tenant: shadow\r\n"
        b"x-request-id: i\r\n\r\n"
    )
    assert b"X-Tenant: a\r\nx-tenant: b\r\n" in head.champion_bytes(None, "", b"i")


def test_two_challengers_never_get_each_others_headers_from_a_head_that_comes_again() -> None:
    head = read([*HOST])
    first, second = CopyHead(None, "", "4", (("x-a", "1"),)), CopyHead(None, "", "5", ())
    for _ in range(2):
        assert b"x-a: 1" in head.copy_bytes(first, b"i")
        assert b"x-a: 1" not in head.copy_bytes(second, b"i")


TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_each_leg_has_its_trace_where_the_callers_stood() -> None:
    head = read([*HOST, (b"TraceParent", TRACEPARENT), (b"Tracestate", b"a=1"), (b"X-Same", TRACEPARENT)])
    assert head.trace is not None
    assert head.trace.value == TRACEPARENT
    for sent in (
        head.champion_bytes(None, "", b"i", b"ours"),
        head.copy_bytes(CopyHead(None, "", "4", ()), b"i", b"ours"),
    ):
        assert b"TraceParent: ours\r\nTracestate: a=1\r\nX-Same: " + TRACEPARENT + b"\r\n" in sent
    assert read().champion_bytes(None, "", b"i", b"new").endswith(b"x-request-id: i\r\ntraceparent: new\r\n\r\n")


def test_a_head_that_comes_again_carries_another_id_and_trace_in_the_same_places() -> None:
    head = read([(b"X-ReQuest-Id", b"first"), *HOST, (b"Traceparent", TRACEPARENT), (b"X", b"first")])
    assert head.champion_bytes(None, "", b"second", b"t") == (
        b"GET / HTTP/1.1\r\nX-ReQuest-Id: second\r\nHost: a\r\nTraceparent: t\r\nX: first\r\n\r\n"
    )


@pytest.mark.parametrize("values", [[b"00-caller"], [TRACEPARENT, TRACEPARENT], [TRACEPARENT, b"x"], [b""]])
def test_what_is_no_trace_goes_on_as_it_came(values: list[bytes]) -> None:
    head = read([*HOST, *((b"Traceparent", value) for value in values)])
    assert head.trace is None
    assert lines(head) == [b"Host: a", *(b"Traceparent: " + value for value in values), b"x-request-id: i"]


def test_a_copy_is_known_by_its_mark() -> None:
    assert read([*HOST, (b"Sidecar-Shadow", b"4")]).is_shadow
    assert not read().is_shadow


@pytest.mark.parametrize(
    ("values", "known", "forwarded"),
    [
        ([], None, [b"minted"]),
        ([b"r"], b"r", [b"r"]),
        ([b"r \t"], b"r", [b"r"]),
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
    sent = head.champion_bytes(None, "", head.request_id or b"minted").split(b"\r\n")
    assert [line.partition(b": ")[2] for line in sent if line.lower().startswith(b"x-request-id")] == forwarded
    assert not usable_id(b"")


def test_what_decoding_needs_is_noted_and_goes_on() -> None:
    size = (b"Inference-Header-Content-Length", b" 147")
    head = read([*HOST, (b"Content-Type", b"x/y"), (b"Content-Encoding", b"gzip"), size])
    assert (head.content_type, head.content_encoding, head.json_bytes) == ("x/y", "gzip", 147)
    assert lines(head)[1:4] == [b"Content-Type: x/y", b"Content-Encoding: gzip", b": ".join(size)]
    assert read([*HOST, (size[0], b"many")]).json_bytes == read(HOST).json_bytes == -1


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
