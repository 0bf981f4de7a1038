"""The manifests as Kubernetes' own schemas see them, and that they fit each other and the sidecar."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from sidecar.config import Settings
from tests.architecture.source_trees import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
FOLDERS = ("base", "monitoring", "kserve")
WHEELS = ROOT / ".cache" / "schemas"
SCHEMAS = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/"
# Kinds that a cluster learns by an extension of its own; Kubernetes has no schema of them.
EXTENSIONS = {"PodMonitor": "monitoring.coreos.com/v1", "InferenceService": "serving.kserve.io/v1beta1"}
# The product's own image, and its user there.
USER = 10001


def documents(folder: str) -> Iterator[dict[str, Any]]:
    for path in sorted((KUBERNETES / folder).glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "kind" in document:
                yield document


def kustomization(folder: str) -> dict[str, Any]:
    (found,) = [document for document in documents(folder) if document["kind"] == "Kustomization"]
    return found


@cache
def manifests() -> list[tuple[str, dict[str, Any]]]:
    return [(folder, each) for folder in FOLDERS for each in documents(folder) if each["kind"] != "Kustomization"]


def workloads() -> list[dict[str, Any]]:
    return [each for _, each in manifests() if each["kind"] in ("Deployment", "StatefulSet")]


def named(each: tuple[str, dict[str, Any]]) -> str:
    return f"{each[0]}-{each[1]['kind']}-{each[1]['metadata']['name']}"


def settings_of(folder: str) -> Settings:
    """As the sidecar reads them, but for the secrets' files, which are the cluster's."""
    return Settings.model_validate(yaml.safe_load((KUBERNETES / folder / "config.yaml").read_text(encoding="utf-8")))


@cache
def schemas() -> zipfile.ZipFile:
    (wheel,) = WHEELS.glob("kubernetes_validate-*.whl")
    return zipfile.ZipFile(wheel)


def retrieve(uri: str) -> Resource[Any]:
    document = json.loads(schemas().read(SCHEMAS + uri.rpartition("/")[2]))
    return Resource.from_contents(document, default_specification=DRAFT7)


def validator(document: dict[str, Any]) -> Draft7Validator:
    group, _, version = document["apiVersion"].rpartition("/")
    name = "-".join(part for part in (document["kind"].lower(), group.partition(".")[0], version) if part)
    return Draft7Validator({"$ref": f"{name}.json"}, registry=Registry(retrieve=retrieve))  # type: ignore[call-arg]


@pytest.mark.parametrize("manifest", manifests(), ids=named)
def test_a_manifest_is_what_kubernetes_takes(manifest: tuple[str, dict[str, Any]]) -> None:
    document = manifest[1]
    if document["kind"] in EXTENSIONS:
        assert document["apiVersion"] == EXTENSIONS[document["kind"]]
        return
    assert [f"{fault.json_path}: {fault.message}" for fault in validator(document).iter_errors(document)] == []


def test_a_manifest_with_a_misspelt_key_is_refused() -> None:
    document = json.loads(json.dumps(workloads()[0]))
    document["spec"]["template"]["spec"]["initContainers"][0]["readinesProbe"] = {}

    assert list(validator(document).iter_errors(document))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_kustomization_names_every_file_beside_it(folder: str) -> None:
    what = kustomization(folder)
    generated = [file for each in what.get("configMapGenerator", ()) for file in each["files"]]
    there = {path.name for path in (KUBERNETES / folder).glob("*.yaml")} - {"kustomization.yaml"}

    assert {*what["resources"], *generated} == there


def sidecar_of(workload: dict[str, Any]) -> dict[str, Any]:
    pod = workload["spec"]["template"]["spec"]
    (found,) = [each for each in (*pod.get("initContainers", ()), *pod["containers"]) if each["name"] == "sidecar"]
    return dict(found)


@pytest.mark.parametrize("workload", workloads(), ids=lambda each: each["metadata"]["name"])
def test_no_container_may_do_more_than_it_must(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
    assert f"USER {USER}:{USER}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        allowed = container["securityContext"]
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["requests"]) >= {"cpu", "memory"}


def test_beside_a_model_server_it_is_a_native_sidecar() -> None:
    (workload,) = [each for each in workloads() if each["kind"] == "Deployment"]

    assert sidecar_of(workload)["restartPolicy"] == "Always"
    assert workload["spec"]["strategy"]["type"] == "Recreate"  # two sidecars cannot share one state folder


@pytest.mark.parametrize(("folder", "number"), [("base", 0), ("kserve", 1)])
def test_the_pod_offers_what_its_settings_ask_for(folder: str, number: int) -> None:
    settings, workload = settings_of(folder), workloads()[number]
    sidecar, pod = sidecar_of(workload), workload["spec"]["template"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    mounts = [Path(mount["mountPath"]) for mount in sidecar["volumeMounts"]]

    assert sidecar["args"] == ["run", "-c", "/etc/sidecar/config.yaml"]
    assert settings.listen == f"0.0.0.0:{ports['inference']}"
    assert settings.admin.listen == f"0.0.0.0:{ports['admin']}"
    assert Path(settings.state_dir) in mounts
    assert Path("/tmp") in mounts  # noqa: S108  its sockets are there, and the root file system is read-only
    assert pod["terminationGracePeriodSeconds"] > settings.timeouts.drain_s
    secrets = [Path(token.token_file or "") for token in settings.admin.tokens]
    secrets += [Path(key.key_file or "") for key in settings.audit.keys]
    (volume,) = [each["projected"]["sources"] for each in pod["volumes"] if "projected" in each]
    (items,) = [source["secret"]["items"] for source in volume if "secret" in source]
    assert {Path("/etc/sidecar") / item["path"] for item in items} == set(secrets)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        told = next(iter(sidecar[probe][kind] for kind in ("httpGet", "tcpSocket") if kind in sidecar[probe]))
        assert told["port"] in ports
    assert "tcpSocket" in sidecar["livenessProbe"]  # control away is no reason to stop traffic


@pytest.mark.parametrize("folder", ["base", "kserve"])
def test_services_find_their_pods_and_ports(folder: str) -> None:
    (pod,) = [each["spec"]["template"] for each in documents(folder) if each["kind"] in ("Deployment", "StatefulSet")]
    ports = {port["name"] for port in sidecar_of({"spec": {"template": pod}})["ports"]}
    services = [each["spec"] for each in documents(folder) if each["kind"] == "Service"]

    assert len(services) == 2
    for service in services:
        assert service["selector"].items() <= pod["metadata"]["labels"].items()
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_network_policy_lets_through_what_the_settings_need() -> None:
    (policy,) = [each["spec"] for each in documents("base") if each["kind"] == "NetworkPolicy"]
    settings = settings_of("base")
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["to"] for rule in policy["egress"])  # none is open to everywhere
    assert {int(each.url.rpartition(":")[2]) for each in settings.deployments[0].challengers} <= out
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {"inference", "admin"}


def test_what_is_scraped_is_a_port_of_the_pod() -> None:
    (monitor,) = [each["spec"] for each in documents("monitoring") if each["kind"] == "PodMonitor"]
    ports = {port["name"] for port in sidecar_of(workloads()[0])["ports"]}
    labels = kustomization("base")["labels"][0]

    assert {each["port"] for each in monitor["podMetricsEndpoints"]} <= ports
    assert labels["includeTemplates"] is True
    assert monitor["selector"]["matchLabels"] == labels["pairs"]


def test_the_unit_starts_what_there_is_and_waits_for_the_drain() -> None:
    text = (ROOT / "deploy" / "systemd" / "serving-sidecar.service").read_text(encoding="utf-8")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))

    assert lines["ExecStart"] == "/opt/sidecar/bin/sidecar run -c /etc/sidecar/config.yaml"
    assert lines["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert lines["KillMode"] == "mixed"  # the supervisor drains; it alone is told
    assert int(lines["TimeoutStopSec"]) > 25
    assert lines["ProtectSystem"] == "strict"
    assert lines["CapabilityBoundingSet"] == ""
