"""The configuration file: every fault is named with its line and key, at once, in plain words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.config_document import NODES_LIMIT, read
from sidecar.config_file import ConfigFaults, Fault, keys, load

GOOD = """\
upstream: http://127.0.0.1:9000
deployments:
  - name: fraud
    champion: {version: 3, url: "http://127.0.0.1:8000"}
    challengers:
      - {version: "4", url: "http://127.0.0.1:8001", timeout_s: 2}
    gates:
      pairs: off
      errors: {max_increase: 0.01}
"""


def faults_of(tmp_path: Path, text: str | bytes) -> list[Fault]:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigFaults) as raised:
        load(path)
    assert len(str(raised.value).splitlines()) == len(raised.value.faults)
    return list(raised.value.faults)


def only_fault(tmp_path: Path, text: str | bytes) -> Fault:
    faults = faults_of(tmp_path, text)
    assert len(faults) == 1, faults
    return faults[0]


def test_a_good_file_is_read_with_its_values_and_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD, encoding="utf-8")

    settings = load(path)

    deployment = settings.deployments[0]
    assert deployment.champion is not None
    assert deployment.champion.version == "3"
    assert deployment.challengers[0].timeout_s == 2.0
    assert deployment.gates.pairs is False
    assert settings.state_dir == "./sidecar-state"
    assert settings.timeouts.connect_s == 2.0


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert load(path).deployments[0].name == "fraud"


def test_aliases_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("upstream: http://h:1\nlimits: {headers: &n 7, connections: *n}\n", encoding="utf-8")

    assert load(path).limits.connections == 7


def test_the_fault_line_is_as_the_contract_shows_it(tmp_path: Path) -> None:
    text = GOOD.replace("challengers:", "chalengers:")

    fault = only_fault(tmp_path, text)

    assert str(fault) == f"{tmp_path}/config.yaml:5: deployments[0].chalengers: unknown key; did you mean challengers?"


def test_all_faults_come_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = """\
listen: 8080
workers: two
admin: {tokens: [{name: al, role: boss, token_env: ''}]}
deployments:
  - name: a b
    champion: {version: 1.5}
    gates: {pairs: {mim: 3, min: x}, errors: on}
  - 5
"""
    found = [(fault.line, fault.key, fault.says, fault.nearest) for fault in faults_of(tmp_path, text)]

    assert found == [
        (1, "listen", "must be text: put it in quotes", None),
        (2, "workers", "must be a whole number", None),
        (3, "admin.tokens[0].role", "must be one of viewer, reporter, operator, admin", None),
        (3, "admin.tokens[0].token_env", "must not be empty", None),
        (5, "deployments[0].name", "'a b': a name is up to 128 letters, digits, dots, dashes and underscores", None),
        (6, "deployments[0].champion.version", "must be text: put it in quotes", None),
        (6, "deployments[0].champion.url", "is required", None),
        (7, "deployments[0].gates.pairs.min", "must be a whole number", None),
        (7, "deployments[0].gates.pairs.mim", "unknown key", "min"),
        (7, "deployments[0].gates.errors", "must be a mapping (max_increase) or off", None),
        (8, "deployments[1]", "must be a mapping of settings", None),
    ]


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("workers: 0", 1, "workers", "must be at least 1"),
        ("workers: 65", 1, "workers", "must be at most 64"),
        ("workers: yes", 1, "workers", "must be a whole number"),
        ("timeouts: {body_s: .inf}", 1, "timeouts.body_s", "must be a finite number"),
        ("timeouts: {body_s: .nan}", 1, "timeouts.body_s", "must be a finite number"),
        ("timeouts: {body_s: -1}", 1, "timeouts.body_s", "must be above 0"),
        ("timeouts: {body_s: 5s}", 1, "timeouts.body_s", "must be a number"),
        ("admin:", 1, "admin", "must be a mapping of settings; it is empty"),
        ("state_dir: ''", 1, "state_dir", "must not be empty"),
        ("state_dir: 2024-01-01", 1, "state_dir", "must be text: put it in quotes"),
        (
            "registry: {uri: 'http://x'}",
            1,
            "registry.uri",
            "must be file:FOLDER, or begin with mlflow+http:// or mlflow+https://",
        ),
        ("deployments: {a: 1}", 1, "deployments", "must be a list"),
        ("events: [{url: x}]", 1, "events[0].url", "is no address such as https://hooks.example.com/sidecar"),
        ("\n\nlisten: nowhere", 3, "listen", "'nowhere' is neither HOST:PORT nor unix:/path"),
    ],
)
def test_each_kind_of_fault_is_said_in_plain_words(tmp_path: Path, text: str, line: int, key: str, says: str) -> None:
    assert only_fault(tmp_path, text) == Fault(str(tmp_path / "config.yaml"), line, key, says)


@pytest.mark.parametrize(
    ("part", "key", "says"),
    [
        ("gates: {pairs: 0}", "gates.pairs", "must be a mapping (min, min_requests) or off"),
        ("gates: {errors: 0.0}", "gates.errors", "must be a mapping (max_increase) or off"),
        ("gates: {latency: {max_ratio: .inf}}", "gates.latency.max_ratio", "must be a finite number"),
        ("gates: {duration: {min_hours: .inf}}", "gates.duration.min_hours", "must be a finite number"),
        ("gates: {prediction: {max_psi: .inf}}", "gates.prediction.max_psi", "must be a finite number"),
        ("score_tolerance: .inf", "score_tolerance", "must be a finite number"),
        ("drift: {false_alarm_days: .inf}", "drift.false_alarm_days", "must be a finite number"),
    ],
)
def test_nothing_but_off_switches_a_check_off(tmp_path: Path, part: str, key: str, says: str) -> None:
    text = f"deployments:\n  - name: fraud\n    champion: {{version: '3', url: 'http://h:1'}}\n    {part}\n"
    fault = only_fault(tmp_path, text)
    assert (fault.line, fault.key, fault.says) == (4, f"deployments[0].{key}", says)


def test_no_sentence_speaks_of_pydantic_or_python(tmp_path: Path) -> None:
    text = """\
listen: [1]
upstream: {a: 1}
workers: 1.5
admin: [1]
registry: null
limits: 3
deployments:
  - {name: x, champion: 3, challengers: 4, payload: {features: a, prediction: [1]}, gates: {inputs: 1, outcome: null}}
"""
    told = "\n".join(str(fault) for fault in faults_of(tmp_path, text))

    assert not re.search(r"pydantic|Input|valid (string|integer|tuple)|instance|function|Gate|literal|None", told), told


def test_a_rule_over_several_keys_is_told_at_the_key_to_change(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, "upstream: http://h:1\nadmin:\n  metrics: open\n  listen: 0.0.0.0:8081\n")

    assert (fault.line, fault.key) == (4, "admin.listen")
    assert str(fault).count("admin.listen") == 1


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("owners: x", "owner"),
        ("Gates: {}", "gates"),
        ("score-tolerance: 1", "score_tolerance"),
        ("timeout_s: 3", "deployments[].challengers[].timeout_s"),
        ("watch_s: 3", "deployments[].promotion.watch_s"),
        ("state_dir: x", "state_dir"),
    ],
)
def test_the_nearest_key_is_the_one_that_was_meant(tmp_path: Path, key: str, nearest: str) -> None:
    text = f"deployments:\n  - name: x\n    champion: {{version: '1', url: 'http://h:1'}}\n    {key}\n"

    fault = only_fault(tmp_path, text)

    assert (fault.line, fault.nearest) == (4, nearest)


def test_a_key_that_resembles_nothing_is_answered_with_the_keys_that_there_are(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, "upstream: http://h:1\nqqq: 1\n")

    assert fault.nearest is None
    assert "listen, workers" in fault.says


@pytest.mark.parametrize(
    "text",
    [
        "upstream: http://user:hunter2@h:1",
        "upstream: 'Bearer hunter2'",
        "admin: {tokens: [{name: 'hunter2 x', role: hunter2, token_env: A}]}",
        "admin: {tokens: [{name: a, role: admin, token_env: [hunter2]}]}",
        "listen: 'ghp_hunter2hunter2hunter2hunter2'",
        "workers: *hunter2",
        "workers: !hunter2 x",
        "workers: !hunter2!x y",
        "listen: hunter2: hunter2",
        "workers: 'hunter2' hunter2",
        "workers: &hunter2 &hunter2 x",
    ],
)
def test_no_fault_repeats_what_looks_like_a_secret(tmp_path: Path, text: str) -> None:
    told = "\n".join(str(fault) for fault in faults_of(tmp_path, text))

    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab stands where YAML wants spaces"),
        ("listen: [1\nworkers: 2\n", 2, "not YAML"),
        ("listen: {a\n", 2, "not YAML"),
        ("- 1\n- 2\n", 1, "the file must be a mapping"),
        ("just text\n", 1, "the file must be a mapping"),
        ("workers: 1\n---\nworkers: 2\n", 2, "a second document begins here"),
        ("workers: 1\nlisten: a:1\nworkers: 2\n", 3, "the key is given twice, first on line 1"),
        ("workers: 1\nlisten: \x07\n", 2, "a control character"),
        ("upstream: http://h:1\n3: x\n", 2, "a key is text"),
        ("upstream: http://h:1\n? [a]\n: x\n", 2, "a key is text"),
        ("upstream: http://h:1\nadmin: {<<: {a: 1}}\n", 2, "the merge key << is not supported"),
        ("upstream: !!python/object:os.system x\n", 1, "tags are not supported"),
        ("upstream: http://h:1\nlimits: !!omap {}\n", 2, "tags are not supported"),
        (f"upstream: http://h:1\nworkers: {'9' * 6000}\n", 2, "this value cannot be read"),
        ("upstream: http://h:1\nworkers: 2024-99-99\n", 2, "this value cannot be read"),
        ("workers: " + "[" * 5000, 1, "nested more than 32 deep"),
        ("upstream: " + "{a: " * 5000, 1, "nested more than 32 deep"),
        ("a: &a [*a]\n", 1, "anchors and aliases that multiply"),
        ("a: *b\n", 1, "an alias without its anchor"),
        (b"workers: 1\nlisten: \xff\n", 2, "not UTF-8"),
        (b"\xff\xfea\x00", 1, "not UTF-8"),
        ("", 1, "nothing to serve"),
        ("# only a comment\n", 1, "nothing to serve"),
    ],
)
def test_what_is_no_plain_mapping_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, line: int, says: str
) -> None:
    fault = next(fault for fault in faults_of(tmp_path, text) if says in fault.says)

    assert fault.line == line


def test_a_document_of_multiplying_aliases_ends_at_its_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert "multiply" in only_fault(tmp_path, "\n".join(lines)).says


def test_a_document_of_many_values_ends_at_its_bound() -> None:
    document = read("[" + "1," * (NODES_LIMIT + 10) + "]")

    assert not document.complete
    assert "more than 50000 values" in document.remarks[0].says


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "this is a directory"),
        (lambda path: path.write_bytes(b"#" * ((1 << 20) + 1)), "larger than 1 MiB"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "config.yaml"
    make(path)  # type: ignore[operator]

    with pytest.raises(ConfigFaults, match=says) as raised:
        load(path)

    assert str(raised.value).startswith(f"{path}: ")


def test_a_hostile_key_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    told = str(only_fault(tmp_path, 'upstream: http://h:1\n"\\e[31m\\nred": 1\n'))

    assert told.isprintable()
    assert "\\x1b[31m\\nred" in told


def test_a_fault_in_a_section_that_is_not_in_the_file_points_at_its_nearest_parent(tmp_path: Path) -> None:
    text = "upstream: http://h:1\ndeployments:\n\n  - owner: me\n"

    found = {(fault.line, fault.key) for fault in faults_of(tmp_path, text)}

    assert found == {(4, "deployments[0].name")}


def test_the_keys_reach_into_lists_and_gates() -> None:
    found = list(keys())

    assert {"deployments[].challengers[].fraction", "deployments[].gates.pairs.min", "events"} <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("host", ["http://a.example", "a.example:8081", "a b", "", "-a", "a/b", "*.example.com"])
def test_a_host_name_that_no_host_header_could_have_is_refused(tmp_path: Path, host: str) -> None:
    fault = only_fault(tmp_path, f"admin: {{hosts: ['{host}']}}\n{GOOD}")
    assert fault.key == "admin.hosts[0]"
    assert "without scheme and port" in fault.says


def test_host_names_and_addresses_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"admin: {{hosts: [sidecar.example.com, 10.0.0.1, '[::1]', pod-1]}}\n{GOOD}", encoding="utf-8")
    assert load(path).admin.hosts == ("sidecar.example.com", "10.0.0.1", "[::1]", "pod-1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("payload: {row_path: instances}", "a path begins with $"),
        ('payload: {score_path: "$.a[*]"}', "cannot be read from '[*]' on"),
        ("payload: {features: [a, b, a]}", "a name comes twice"),
        ("protocol: v2", "kserve-v1"),
    ],
)
def test_payloads_that_could_not_be_found_are_faults(tmp_path: Path, line: str, says: str) -> None:
    assert says in only_fault(tmp_path, GOOD.replace("    gates:", f"    {line}\n    gates:")).says


def test_a_path_beside_a_protocol_that_needs_none_is_a_fault(tmp_path: Path) -> None:
    more = "protocol: oip\n    payload: {row_path: $.rows}"
    says = only_fault(tmp_path, GOOD.replace("    gates:", f"    {more}\n    gates:")).says
    assert "have no effect with protocol: oip" in says
