"""From what pydantic finds wrong to faults in plain words, each with its key and the nearest valid one.

Keeps: no fault repeats what looks like a secret; none speaks of Python. Knows the settings' shape, reads no file.
Called by `config_file` for the file, and through it for a challenger that is set by a call.
"""

from __future__ import annotations

import difflib
import itertools
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sidecar.config import Settings
from sidecar.config_document import Place

_SHOWN_LENGTH = 80
_SECRET_KEY = re.compile(r"token|secret|passw|credential|api_?key|authori[sz]ation", re.IGNORECASE)
# Credentials in a URL, an authorization header, a signed token, or 24 and more characters of mixed letters and digits.
_SECRET_VALUE = re.compile(
    r"//[^/\s]*@|\bbearer\s|\beyJ|(?=[A-Za-z0-9_+=-]*[0-9])(?=[A-Za-z0-9_+=-]*[A-Za-z])[A-Za-z0-9_+=-]{24,}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to correct. `line` is 0 and `key` empty where there is none; `nearest` is the key that was meant."""

    file: str
    line: int
    key: str
    says: str
    nearest: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        key = f"{self.key}: " if self.key and not self.says.startswith(self.key) else ""
        meant = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{where}{key}{self.says}{meant}"


class ConfigFaults(Exception):
    """The file cannot be used. str() has one line for each fault, in the file's order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every key that a file may hold, dotted, with [] for the entries of a list."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        for member in _members(field.annotation):
            inner, mark = member, ""
            if get_origin(member) is tuple and get_args(member):
                inner, mark = get_args(member)[0], "[]"
            if _is_model(inner):
                yield from keys(inner, f"{key}{mark}.")


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where an error belongs: its place without union tags, the model there and around it, the union on its way."""

    place: Place
    model: type[BaseModel] | None
    around: type[BaseModel] | None
    union: Place | None
    members: tuple[Any, ...]
    branch_is_model: bool


def faults_of(
    error: ValidationError,
    root: type[BaseModel],
    data: Mapping[str, object],
    file: str = "",
    line: Callable[[Place], int] = lambda _: 0,
) -> Iterator[Fault]:
    """The faults that pydantic found in `data`, which was to be a `root`; `line` finds a place's line in the file."""
    unions_told: set[Place] = set()
    for detail in error.errors(include_url=False):
        spot = _locate(root, detail["loc"])
        if spot.union is not None:
            # Every member of a union complains. Where a mapping stands, the mapping was meant.
            if isinstance(_at(data, spot.union), Mapping):
                if not spot.branch_is_model:
                    continue
            elif spot.union in unions_told:
                continue
            else:
                unions_told.add(spot.union)
                says = "must be " + " or ".join(_kind(member) for member in spot.members)
                yield Fault(file, line(spot.union), dotted(spot.union), says)
                continue
        place, says, nearest = _told(root, spot, detail)
        yield Fault(file, line(place), dotted(place), says, nearest)


def _told(root: type[BaseModel], spot: _Spot, detail: ErrorDetails) -> tuple[Place, str, str | None]:
    """The place to change, the sentence, and the nearest key."""
    if detail["type"] == "extra_forbidden":
        return spot.place, *_unknown(root, spot.place, spot.around)
    key = dotted(spot.place)
    says = _in_words(detail, key)
    if detail["type"] == "value_error":
        # A rule over several keys belongs to the whole section; its sentence begins with the key to change.
        named, _, rest = says.partition(": ")
        if spot.place and spot.model is not None and named in spot.model.model_fields:
            return (*spot.place, named), rest, None
        named = says.split(maxsplit=1)[0].rstrip(":") if says else ""
        if named != key and named.startswith(key) and named in set(keys(root)):
            return tuple(named.split(".")), says, None
    return spot.place, says, None


def _locate(root: type[BaseModel], location: tuple[str | int, ...]) -> _Spot:
    place: list[str | int] = []
    members: tuple[Any, ...] = (root,)
    around: type[BaseModel] | None = None
    union: Place | None = None
    union_members: tuple[Any, ...] = ()
    branch_is_model = False
    for part in location:
        if part == "[key]":  # the fault is in the key of a mapping, whose place is known by now
            continue
        if len(members) > 1:
            # pydantic names the member it tried: a model by its class name, anything else by its schema.
            union, union_members = tuple(place), members
            models = tuple(m for m in members if _is_model(m) and m.__name__ == part)
            branch_is_model = bool(models)
            members = models or tuple(m for m in members if not _is_model(m))[:1]
            continue
        place.append(part)
        member = members[0] if members else None
        around = member if _is_model(member) else None
        if around is not None and part in around.model_fields:
            members = _members(around.model_fields[str(part)].annotation)
        elif get_origin(member) is tuple and isinstance(part, int):
            members = _members(get_args(member)[0]) if get_args(member) else ()
        else:
            members = ()
    model = members[0] if len(members) == 1 and _is_model(members[0]) else None
    return _Spot(tuple(place), model, around, union, union_members, branch_is_model)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have, without None and without pydantic's annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return tuple(m for a in get_args(annotation) if a is not type(None) for m in _members(a))
    return (annotation,)


def _at(data: object, place: Place) -> object:
    for part in place:
        if isinstance(data, Mapping) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


# --- words ------------------------------------------------------------------------------------------------------

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "finite_number": "must be a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "must be above"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be below"),
    "less_than_equal": ("le", "must be at most"),
}


def _in_words(detail: ErrorDetails, key: str) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    says = _SENTENCES.get(kind, "")
    if kind == "string_type" and value is not None and not isinstance(value, list | dict):
        says = f"{says}: put it in quotes"
    elif says:
        says = f"{says}; it is empty" if value is None else says
    elif kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        says = f"{words} {context[name]:.15g}"
    elif kind == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        says = f"must be one of {choices}" if "," in choices else f"must be {choices}"
    elif kind == "string_too_short":
        says = "must not be empty"
    elif kind == "string_pattern_mismatch":
        beginning = re.fullmatch(r"\^([\w:/+-]+)\.\+", str(context["pattern"]))
        says = f"must begin with {beginning[1]}" if beginning else f"must match {context['pattern']}"
    elif kind == "too_long":
        most = context["max_length"]
        says = f"must have at most {most} entries" if most else "is not supported by this version: leave it empty"
    else:
        sentence = str(context.get("error", detail["msg"])).replace("Input should be", "must be")
        says = _discreet(sentence, key, value)
    return says


def _discreet(says: str, key: str, value: object) -> str:
    """The sentence without the value, where that looks like a secret."""
    if isinstance(value, str) and (_SECRET_KEY.search(key) or _SECRET_VALUE.search(value)):
        return says.replace(repr(value), "the value").replace(value, "the value") if value else says
    return says


def _unknown(root: type[BaseModel], place: Place, around: type[BaseModel] | None) -> tuple[str, str | None]:
    """The sentence and the nearest key: the same name in another section, else a similar one in this."""
    name = str(place[-1])
    here = list(around.model_fields) if around is not None else []
    elsewhere = [key for key in keys(root) if key.rsplit(".", 1)[-1] == name]
    if elsewhere:
        parents = [part for part in place if isinstance(part, str)]
        return "unknown key here", max(elsewhere, key=lambda key: _shared(key.replace("[]", "").split("."), parents))
    near = difflib.get_close_matches(name.lower().replace("-", "_"), here, n=1, cutoff=0.6)
    if near:
        return "unknown key", near[0]
    return ("unknown key; the keys here are " + ", ".join(here) if here else "unknown key; none is known here"), None


def _shared(first: list[str], second: list[str]) -> int:
    """How many parts two dotted keys have in common from the top."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _kind(member: Any) -> str:
    if _is_model(member):
        names = ", ".join(member.model_fields)
        return f"a mapping ({names})" if names else "an empty mapping {}"
    if get_origin(member) is Literal:
        return ", ".join("off" if value is False else str(value) for value in get_args(member))
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}.get(member, "a list")


def dotted(place: Place) -> str:
    """A place as people write it: `deployments[0].champion.url`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _SHOWN_LENGTH else shown[:_SHOWN_LENGTH] + "…"
