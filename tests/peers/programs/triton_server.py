"""Triton with one model, a plain Python function. Runs in Triton's own environment: `triton_server.py PORT`."""

from __future__ import annotations

import signal
import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch  # type: ignore[import-not-found]
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor  # type: ignore[import-not-found]
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]


@batch  # type: ignore[untyped-decorator]
def score(amount: Any, age: Any, foreign: Any, currency: Any) -> dict[str, Any]:
    """Three features make the score; the fourth is a text that nobody trained on."""
    scores = 1.0 / (1.0 + np.exp(age / 50.0 - amount / 100.0 - foreign))
    labels = np.where(scores >= 0.5, b"fraud", b"legit").astype(bytes)
    return {"label": np.char.encode(np.char.decode(labels, "utf-8"), "utf-8"), "score": scores.astype(np.float32)}


def main() -> None:
    """Serves until interrupted."""
    config = TritonConfig(
        http_address="127.0.0.1", http_port=int(sys.argv[1]), allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="fraud",
            infer_func=score,
            inputs=[
                Tensor(name="amount", dtype=np.float32, shape=(1,)),
                Tensor(name="age", dtype=np.float64, shape=(1,)),
                Tensor(name="foreign", dtype=np.int64, shape=(1,)),
                Tensor(name="currency", dtype=bytes, shape=(1,)),
            ],
            outputs=[
                Tensor(name="label", dtype=bytes, shape=(1,)),
                Tensor(name="score", dtype=np.float32, shape=(1,)),
            ],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            strict=True,
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # only so it ends its own processes in order
        triton.serve()


if __name__ == "__main__":
    main()
