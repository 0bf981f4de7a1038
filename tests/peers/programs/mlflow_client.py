"""MLflow scoring in every form of body that it takes, and by MLflow's own client; prints JSON. `bad`: refused calls."""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
import requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient  # type: ignore[import-not-found]

NAMES = ["amount", "age", "foreign"]
ROWS = [[12.5, 34.0, 0.0], [80.0, 51.0, 1.0], [310.25, 19.0, 1.0]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}
CSV = "\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)]) + "\n"

BODIES: list[tuple[str, Any]] = [
    ("dataframe_split", {"dataframe_split": {"index": [0, 1, 2], "columns": NAMES, "data": ROWS}}),
    (
        "dataframe_split, other order",
        {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
    ),
    ("dataframe_records", {"dataframe_records": RECORDS}),
    ("instances", {"instances": RECORDS}),
    ("inputs", {"inputs": COLUMNS}),
    ("with params", {"dataframe_split": {"columns": NAMES, "data": ROWS}, "params": {}}),
    ("csv", CSV),
]


def calls(url: str) -> list[tuple[str, Any]]:
    done: list[tuple[str, Any]] = []
    with requests.Session() as session:
        for path in ("/ping", "/health", "/version"):
            answer = session.get(url + path, timeout=60)
            done.append((path, [answer.status_code, answer.text]))
        for number, (name, body) in enumerate(BODIES):
            data = body if isinstance(body, str) else json.dumps(body)
            kind = "text/csv" if isinstance(body, str) else "application/json"
            headers = {"Content-Type": kind, "X-Request-Id": f"form-{number}"}
            answer = session.post(f"{url}/invocations", data=data, headers=headers, timeout=60)
            done.append((name, [answer.status_code, answer.text]))
    host, port = url.removeprefix("http://").split(":")
    own = ScoringServerClient(host, int(port))
    own.wait_server_ready(timeout=60)
    predictions = own.invoke(pd.DataFrame(ROWS, columns=NAMES)).get_predictions()
    done.append(("its own client", json.loads(pd.DataFrame(predictions).to_json())))
    return done


def bad_calls(url: str) -> list[tuple[str, Any]]:
    bodies = [("no names", {"instances": ROWS}), ("no form", {"rows": ROWS}), ("no JSON", None)]
    done: list[tuple[str, Any]] = []
    for name, body in bodies:
        headers = {"Content-Type": "application/json"}
        data = "{" if body is None else json.dumps(body)
        answer = requests.post(f"{url}/invocations", data=data, headers=headers, timeout=60)
        done.append((name, [answer.status_code, answer.text]))
    answer = requests.post(f"{url}/invocations", data="x", headers={"Content-Type": "text/html"}, timeout=60)
    return [*done, ("no known type", [answer.status_code, answer.text])]


def main() -> None:
    """Each line of standard input is `URL good` or `URL bad`; the answer is a line of JSON."""
    for line in sys.stdin:
        url, kind = line.split()
        done = bad_calls(url) if kind == "bad" else calls(url)
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
