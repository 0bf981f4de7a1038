"""What the bench says when a program is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import __main__ as command
from bench import programs, soak


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SEARCH", "/nowhere")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("main", [command.main, soak.main])
def test_a_missing_program_ends_it_with_2_and_the_packages_name(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    assert "apt-get install nginx-light wrk" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_installed")
def test_only_root_may_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(programs.Missing, match="needs root"):
        programs.require(install=True)


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "-1"]])
def test_a_bench_of_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)
