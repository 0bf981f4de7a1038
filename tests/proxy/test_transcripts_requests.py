"""What callers may say, what they may not, and what of it reaches the champion: RELIABILITY's rules as transcripts."""

from __future__ import annotations

import pytest

from tests.proxy.in_memory import play
from tests.proxy.transcript import Step, Transcript, read

REFUSED = read("requests_refused")
MIDWAY = read("requests_refused_midway")
PASSED = read("requests_passed")

GOOD = b"POST /g HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"
GOOD_CHUNKED = b"POST /g HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
FORWARDED = {
    good: good.replace(b"\r\n\r\n", b"\r\nx-request-id: ID\r\n\r\n", 1).replace(b"Transfer-E", b"transfer-e")
    for good in (GOOD, GOOD_CHUNKED)
}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-request-id: ID\r\n\r\n"


def titles(transcripts: list[Transcript]) -> list[str]:
    return [transcript.title for transcript in transcripts]


@pytest.mark.parametrize("transcript", REFUSED, ids=titles(REFUSED))
async def test_what_could_be_understood_in_two_ways_is_refused_before_a_byte_goes_on(transcript: Transcript) -> None:
    await play(transcript)


@pytest.mark.parametrize("good", FORWARDED, ids=["a length", "chunks"])
@pytest.mark.parametrize("transcript", [one for one in REFUSED if not one.options], ids=lambda one: one.title)
async def test_it_is_refused_as_well_behind_a_good_request_which_it_does_not_hurt(
    transcript: Transcript, good: bytes
) -> None:
    said, *end = transcript.steps
    both = Transcript(
        transcript.title,
        (),
        (
            Step("C>", good + said.data),
            Step(">M", FORWARDED[good]),
            Step("M>", ANSWER),
            Step(">c", ANSWERED),
            *end,
        ),
    )
    await play(both, every=False)


@pytest.mark.parametrize("transcript", MIDWAY, ids=titles(MIDWAY))
async def test_a_body_that_makes_no_sense_never_looks_complete(transcript: Transcript) -> None:
    await play(transcript)


@pytest.mark.parametrize("transcript", PASSED, ids=titles(PASSED))
async def test_what_makes_sense_reaches_the_champion_as_it_came(transcript: Transcript) -> None:
    await play(transcript)
