"""KServe's Python server with one model that speaks V1 and V2. Runs in its own environment: `kserve_server.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # type: ignore[import-not-found]


def score(rows: Any) -> Any:
    """Three features make the score."""
    rows = np.asarray(rows, np.float64)
    return 1.0 / (1.0 + np.exp(rows[:, 1] / 50.0 - rows[:, 0] / 100.0 - rows[:, 2]))


class Fraud(Model):  # type: ignore[misc]  # the library has no types here
    """V1 gives scores, V2 labels beside them."""

    def __init__(self) -> None:
        super().__init__("fraud")
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """From KServe."""
        if not isinstance(payload, InferRequest):
            return {"predictions": score(payload["instances"]).tolist()}
        scores = score(payload.inputs[0].as_numpy())
        label = InferOutput(name="label", shape=[len(scores)], datatype="INT64")
        label.set_data_from_numpy((scores >= 0.5).astype(np.int64), binary_data=payload.use_binary_outputs)
        output = InferOutput(name="score", shape=[len(scores)], datatype="FP64")
        output.set_data_from_numpy(scores, binary_data=payload.use_binary_outputs)
        return InferResponse(
            response_id=payload.id,
            model_name=self.name,
            infer_outputs=[label, output],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Fraud()])
