"""The JSON Schema of a baseline, made from the very types that read one, for those who read it elsewhere.

Invariant: every document that `baseline.from_json` takes is valid under the schema. The reverse does not hold: a
schema cannot add up counts or compute a digest, so a consumer that must be sure also compares the digest. It writes
no file. Called by scripts/write_baseline_schema.py, which keeps docs/baseline.schema.json.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from registry_client.baseline import FEATURE_LIMIT, FORMAT, QUANTILES, Baseline

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "maxLength": 71}
# Most validators leave `format` unchecked unless they are told to look.
_TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)$"
_NUMERIC = ("edges", "quantiles", "log_histogram", "minimum", "maximum", "mean", "sd", "integers_share")


def json_schema() -> dict[str, Any]:
    """The schema in the dialect 2020-12, as plain JSON values.

    Beside what the types say, it says what depends on `kind`, how long things may be, and that a stored baseline has
    its digest.
    """
    schema: dict[str, Any] = msgspec.json.schema(Baseline)
    definitions: dict[str, Any] = schema["$defs"]
    document = definitions["Baseline"]
    document["required"] = [*document["required"], "digest"]
    document["properties"]["digest"] = _DIGEST
    document["properties"]["created_at"]["pattern"] = _TIME
    document["properties"]["features"]["maxItems"] = FEATURE_LIMIT
    definitions["FeatureBaseline"] |= {
        "if": {"properties": {"kind": {"const": "numeric"}}},
        "then": {
            "required": list(_NUMERIC),
            "properties": {
                "edges": {"minItems": 1},
                "quantiles": {"minItems": QUANTILES, "maxItems": QUANTILES},
                "log_histogram": {"type": "object"},
                **{name: {"type": "number"} for name in _NUMERIC[3:]},
                **{name: {"maxItems": 0} for name in ("categories", "tail")},
            },
        },
        "else": {
            "properties": {
                **{name: {"maxItems": 0} for name in ("edges", "quantiles")},
                **{name: {"type": "null"} for name in _NUMERIC[2:]},
            },
        },
    }
    return {"$schema": _DIALECT, "title": FORMAT, **schema}


def schema_text() -> str:
    """The schema as the file holds it: sorted, indented, with a newline at its end."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
