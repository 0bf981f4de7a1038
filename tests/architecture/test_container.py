"""The container image as its recipe says; its properties are read here, `make image-steps` carries the steps out."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest

from scripts import dockerfile
from scripts.dockerfile import Stage, Step
from scripts.image_steps import let_in
from tests.architecture.source_trees import ROOT


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return list(dockerfile.steps((ROOT / "Dockerfile").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def last(steps: list[Step]) -> dict[str, str]:
    """The final stage; a later step overrides an earlier one."""
    stages = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    return dict(steps[stages[-1] :])


def test_the_image_is_slim_and_the_stage_that_builds_is_of_the_same_python(steps: list[Step]) -> None:
    bases = [rest.split()[0] for word, rest in steps if word == "FROM"]

    assert bases == ["python:3.13", "python:3.13-slim"]


def test_the_data_plane_is_compiled_and_the_compiler_stays_behind(steps: list[Step], last: dict[str, str]) -> None:
    environment = " ".join(rest for word, rest in steps if word == "ENV")

    assert "HATCH_BUILD_HOOKS_ENABLE=true" in environment
    assert ("RUN", '["python", "-m", "hatchling", "build", "-t", "wheel", "-d", "/dist"]') in steps
    assert "RUN" not in last  # whatever the last stage holds besides its base was copied
    assert last["COPY"].startswith("--from=build ")
    assert "gcc" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")  # neither base is given one


def test_whatever_is_installed_from_the_network_is_checked_against_a_hash(steps: list[Step]) -> None:
    installs = [json.loads(rest) for word, rest in steps if word == "RUN" and "pip" in rest]

    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or {"--no-index", "--no-deps"} <= set(words), words


def test_every_file_that_is_copied_in_exists_and_is_let_through(steps: list[Step]) -> None:
    copied = [shlex.split(rest)[:-1] for word, rest in steps if word == "COPY" and "--from" not in rest]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = [line.removeprefix("!") for line in ignored if line.startswith("!")]

    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists(), name
        assert name in let_through
    assert "*" in ignored  # nothing else comes along
    assert {name for names in copied for name in names} == set(let_through)


def test_bytecode_and_state_stay_out() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert rules[rules.index("*") :][-2:] == ["**/__pycache__", "**/*.pyc"]  # last, so that nothing brings them back
    assert not any("state" in rule for rule in rules if rule.startswith("!"))


def test_it_runs_as_a_number_that_is_not_root(last: dict[str, str]) -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last["USER"])


def test_no_shell_stands_between_the_signal_and_the_process(steps: list[Step], last: dict[str, str]) -> None:
    assert json.loads(last["ENTRYPOINT"]) == ["sidecar"]
    assert json.loads(last["CMD"])[0] == "run"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert all(json.loads(rest) for word, rest in steps if word == "RUN")  # no step needs a shell either


def test_the_state_is_on_a_volume_that_the_user_owns(steps: list[Step], last: dict[str, str]) -> None:
    assert last["VOLUME"] == last["WORKDIR"] == "/var/lib/sidecar"
    assert ("COPY", f"--from=build --chown={last['USER']} /state {last['VOLUME']}") in steps


def test_the_health_check_is_python_that_asks_healthz_past_any_proxy(last: dict[str, str]) -> None:
    program, flag, code = json.loads(last["HEALTHCHECK"].split(" CMD ")[1])

    assert (program, flag) == ("python", "-c")
    assert ast.parse(code)
    assert "/healthz" in code
    assert "ProxyHandler({})" in code


def test_both_ports_are_told(last: dict[str, str]) -> None:
    assert last["EXPOSE"].split() == ["8080", "8081"]


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("sidecar", True),
        ("sidecar/proxy/plane.py", True),
        ("locks/core.txt", True),
        ("locks/test.txt", False),
        ("locks", False),
        (".git/config", False),
        ("sidecar-state/sidecar.db", False),
        ("config.yaml", False),
        ("sidecar/proxy/__pycache__/plane.pyc", False),
        (".venv/bin/python", False),
    ],
)
def test_nothing_but_what_the_image_is_built_from_is_let_in(name: str, may: bool) -> None:
    assert let_in(name) is may


def test_the_steps_that_are_carried_out_are_read_as_they_are_written() -> None:
    text = """# a comment
FROM python:3.13 AS build
ENV A=1 B=x
COPY one two/ \\
    there/
RUN ["do", "it now"]

FROM python:3.13-slim
COPY --from=build --chown=1:2 /state /var
HEALTHCHECK --interval=1s \\
    CMD ["python", "-c", "1"]
CMD ["a"]
CMD ["b"]
"""
    build, last = dockerfile.stages(text)

    assert build == Stage("python:3.13", "build", build.steps)
    assert [step.word for step in build.steps] == ["ENV", "COPY", "RUN"]
    assert (build.steps[1].words, build.steps[2].command) == (["one", "two/", "there/"], ["do", "it now"])
    assert (last.steps[0].flags, last.steps[0].words) == ({"from": "build", "chown": "1:2"}, ["/state", "/var"])
    assert last.last("HEALTHCHECK").command == ["python", "-c", "1"]
    assert last.last("CMD").command == ["b"]
    with pytest.raises(ValueError, match="Expecting value"):
        _ = Step("RUN", "pip install x").command
    with pytest.raises(ValueError, match="not in the form"):
        _ = Step("RUN", '"pip install x"').command
