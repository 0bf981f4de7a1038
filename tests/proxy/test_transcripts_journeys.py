"""Whole conversations between a caller and a champion, fed whole, byte by byte and split at every position."""

from __future__ import annotations

import pytest

from tests.proxy.in_memory import play
from tests.proxy.transcript import Transcript, read

JOURNEYS = read("journeys")


@pytest.mark.parametrize("transcript", JOURNEYS, ids=[transcript.title for transcript in JOURNEYS])
async def test_a_conversation_goes_as_it_is_written(transcript: Transcript) -> None:
    await play(transcript)
