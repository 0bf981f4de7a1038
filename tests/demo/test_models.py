from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

import sidecar.demo
from sidecar.demo.payments import FEATURES, Payments, in_euros, inference_inputs, outcomes, stream
from sidecar.model_server import OnnxModel, serving

FOLDER = Path(sidecar.demo.__file__).parent / "models"
VERSIONS = ("3", "4")


def model(version: str) -> OnnxModel:
    return OnnxModel(FOLDER / f"payments-{version}.onnx", "payments", version)


def answer(version: str, payments: Payments) -> dict[str, Any]:
    body = json.dumps({"inputs": inference_inputs(payments)}).encode()
    outputs = json.loads(model(version).answer(body))["outputs"]
    return {output["name"]: np.array(output["data"]) for output in outputs}


def stated_accuracy(version: str) -> float:
    lineage = json.loads((FOLDER / "lineage.json").read_text())
    match = re.search(r"accuracy ([0-9.]+)", lineage[version]["scores"])
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_committed_model_is_small_and_takes_the_payments_features(version: str) -> None:
    assert (FOLDER / f"payments-{version}.onnx").stat().st_size < 150_000
    described: Any = model(version).metadata()
    assert [(entry["name"], entry["datatype"], entry["shape"]) for entry in described["inputs"]] == [
        (feature.name, feature.datatype, [-1, 1]) for feature in FEATURES
    ]
    assert [(entry["name"], entry["datatype"], entry["shape"]) for entry in described["outputs"]] == [
        ("label", "INT64", [-1]),
        ("probability", "FP32", [-1]),
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_committed_model_serves_a_row_and_a_batch_alike(version: str) -> None:
    payments = stream(np.random.default_rng(10), 300)
    async with serving(model(version), "127.0.0.1:0") as url, aiohttp.ClientSession() as session:
        infer = f"{url}/v2/models/payments/versions/{version}/infer"
        async with session.post(infer, json={"inputs": inference_inputs(payments)}) as response:
            assert response.status == 200
            batch = (await response.json())["outputs"]
        for row in (0, 17, 299):
            single = {name: column[row : row + 1] for name, column in payments.items()}
            async with session.post(infer, json={"inputs": inference_inputs(single)}) as response:
                label, probability = (await response.json())["outputs"]
            assert label["data"] == [batch[0]["data"][row]]
            assert probability["data"] == pytest.approx([batch[1]["data"][row]], abs=1e-6)
            assert label["data"][0] == int(probability["data"][0] > 0.5)


def test_accuracy_and_agreement_on_fresh_payments_are_the_stated_ones_within_noise() -> None:
    rng = np.random.default_rng(11)
    payments = stream(rng, 10_000)
    truth = outcomes(rng, payments)
    labels = {version: answer(version, payments)["label"] for version in VERSIONS}
    for version in VERSIONS:
        # Four standard errors of a share near 0.9 of ten thousand rows, and as much again for the stated one.
        assert (labels[version] == truth).mean() == pytest.approx(stated_accuracy(version), abs=0.02)
    assert (labels["4"] == truth).mean() - (labels["3"] == truth).mean() > 0.015
    assert 0.91 < (labels["3"] == labels["4"]).mean() < 0.96


@pytest.mark.parametrize("version", VERSIONS)
def test_amounts_in_euros_visibly_change_the_predictions(version: str) -> None:
    payments = stream(np.random.default_rng(12), 2000)
    before = answer(version, payments)["label"].mean()
    after = answer(version, in_euros(payments))["label"].mean()
    assert before > 0.3
    assert after < 0.5 * before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_country_never_seen_in_training_still_gets_an_answer(version: str) -> None:
    payments = stream(np.random.default_rng(13), 5)
    probability = answer(version, {**payments, "country": np.array(["XX"] * 5)})["probability"]
    assert np.isfinite(probability).all()


def test_lineage_names_data_code_parameters_and_scores_of_both_versions() -> None:
    lineage = json.loads((FOLDER / "lineage.json").read_text())
    assert sorted(lineage) == list(VERSIONS)
    for entry in lineage.values():
        assert set(entry) == {"data", "code", "params", "scores"}
        assert all(isinstance(value, str) and value for value in entry.values())
