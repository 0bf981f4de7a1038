"""What model servers may answer, what they may not, and what of it reaches the caller."""

from __future__ import annotations

import pytest

from tests.proxy.in_memory import play
from tests.proxy.transcript import Step, Transcript, read

REFUSED = read("answers_refused")
BROKEN = read("answers_broken")
PASSED = read("answers_passed")

ASKED = (
    Step("C>", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    Step(">M", b"GET /x HTTP/1.1\r\nHost: a\r\nx-request-id: ID\r\n\r\n"),
)
ANSWERED = (
    Step("M>", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
    Step(">C", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nx-request-id: ID\r\n\r\nfine"),
)
CHUNKED = (
    Step("M>", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"),
    Step(">C", b"HTTP/1.1 200 OK\r\nx-request-id: ID\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"),
)


def titles(transcripts: list[Transcript]) -> list[str]:
    return [transcript.title for transcript in transcripts]


@pytest.mark.parametrize("transcript", REFUSED, ids=titles(REFUSED))
async def test_an_answer_that_could_be_understood_in_two_ways_is_502(transcript: Transcript) -> None:
    await play(transcript.after(*ASKED, said="fresh"))


@pytest.mark.parametrize("before", [ANSWERED, CHUNKED], ids=["a length", "chunks"])
@pytest.mark.parametrize(
    "transcript", [one for one in REFUSED if one.steps[0].kind == "M>" and not one.options], ids=lambda one: one.title
)
async def test_it_is_502_as_well_on_a_connection_that_answered_before(
    transcript: Transcript, before: tuple[Step, ...]
) -> None:
    await play(transcript.after(*ASKED, *before, *ASKED, said="reused"), every=False)


@pytest.mark.parametrize("transcript", BROKEN, ids=titles(BROKEN))
async def test_a_broken_answer_never_looks_whole(transcript: Transcript) -> None:
    await play(transcript.after(*ASKED, said="fresh"))


@pytest.mark.parametrize("transcript", PASSED, ids=titles(PASSED))
async def test_an_answer_reaches_the_caller_as_it_came_and_the_next_one_too(transcript: Transcript) -> None:
    whole = transcript.after(*ASKED, said="and another")
    await play(Transcript(whole.title, whole.options, (*whole.steps, *ASKED, *ANSWERED)))
