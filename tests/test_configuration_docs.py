"""The example file and the table of settings say what the model says, no more and no less."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from sidecar.config import Settings
from sidecar.config_file import keys, load

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.yaml"
TABLE = ROOT / "docs" / "configuration.md"

# Where the example shows something because the default is nothing.
EXAMPLES = {
    "upstream",
    "events",
    "audit.keys",
    "audit.keys[].key_env",
    "admin.tokens[].token_env",
    "admin.oidc",
    "admin.tokens",
    "admin.clients",
    "admin.clients[].uri",
    "registry",
    "deployments",
    "deployments[].owner",
    "deployments[].match",
    "deployments[].champion",
    "deployments[].challengers",
    "deployments[].from_registry",
    "deployments[].from_registry.url",
    "deployments[].baseline",
    "deployments[].comparison.segments",
    "deployments[].comparison.segments[].values",
    "deployments[].promotion.canary.steps",
}


def default_of(key: str) -> Any:
    model: Any = Settings
    *sections, name = key.replace("[]", "").split(".")
    for section in sections:
        annotation = str(model.model_fields[section].annotation)
        found = re.search(r"(sidecar\.config\w*)\.(\w+)", annotation)
        assert found, annotation
        model = getattr(importlib.import_module(found[1]), found[2])
    return model.model_fields[name].get_default(call_default_factory=True)


@cache
def example() -> Any:
    """What would need files that nobody has is shown behind a #."""
    return yaml.safe_load(re.sub(r"^  # ", "  ", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def in_example(key: str) -> Any:
    """What stands under a key, in the first entry of a list that has it."""
    found: Any = [example()]
    for part in key.split("."):
        name = part.removesuffix("[]")
        values = [entry[name] for entry in found if entry is not None and name in entry]
        found = [entry for value in values for entry in value] if part.endswith("[]") else values
    return found[0]


@cache
def rows() -> dict[str, list[str]]:
    cells = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*?) \| (.*?) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return {key: rest for key, *rest in cells}


def test_the_example_is_a_good_file() -> None:
    assert load(EXAMPLE).deployments[0].challengers[0].version == "4"


@pytest.mark.parametrize("key", list(keys()))
def test_every_setting_stands_in_the_example_with_its_default(key: str) -> None:
    shown, default = in_example(key), default_of(key)

    if key in EXAMPLES:
        assert shown
    elif not isinstance(default, BaseModel) and str(default) != "PydanticUndefined":
        assert shown == (list(default) if isinstance(default, tuple) else default)


def test_every_line_of_the_example_that_sets_something_says_what_it_is() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if re.search(r":\s+\S", line) and "#" not in line]

    assert bare == []


@pytest.mark.parametrize("key", list(keys()))
def test_every_setting_stands_in_the_table_with_its_default(key: str) -> None:
    kind, default, meaning = rows()[key]
    expected = default_of(key)

    assert kind
    assert len(meaning) > 10
    if str(expected) == "PydanticUndefined":
        assert default == "required"
    elif expected in (None, "", ()):
        assert default == "none"
    elif not isinstance(expected, BaseModel):
        assert default == f"`[{', '.join(expected)}]`" if isinstance(expected, tuple) else f"`{expected}`"


def test_the_table_has_no_setting_that_is_gone() -> None:
    assert set(rows()) == set(keys())
