"""Answers of `Predictor` on a local Ray, as lines of JSON on stdout: python tests/support/ray_job.py MODEL WORKERS TEXTS

In a process of its own, as Ray leaves threads and processes, and warns of features that it will drop.
"""

from __future__ import annotations

import json
import os
import sys

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}

import ray
import ray.data

from bertkit import Predictor


def main(model: str, workers: str, texts: str) -> None:
    """Print the bytes of each vector with the process that computed it, for one worker and then for several."""
    ray.init(num_cpus=int(workers), include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 120  # so that each process answers some blocks
    rows = [{"id": number, "text": text} for number, text in enumerate(json.loads(texts))]
    for count in (1, int(workers)):
        dataset = ray.data.from_items(rows, override_num_blocks=8).map_batches(
            Numbered,
            fn_constructor_args=("feature-extraction", model),
            fn_constructor_kwargs={"pooling": "mean", "engine": "numpy"},
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=count),
        )
        found = {row["id"]: [row["result"].tobytes().hex(), row["process"]] for row in dataset.take_all()}
        print(json.dumps([found[number] for number in range(len(rows))]), flush=True)
    # Answers that are no vectors, and an invalid example.
    dataset = ray.data.from_items([{"text": "a [MASK]"}, {"text": "none"}], override_num_blocks=1)
    named = {"engine": "numpy", "top_k": 2, "errors": "return"}
    words = dataset.map_batches(
        Predictor,
        fn_constructor_args=("fill-mask", f"{model}/masked"),
        fn_constructor_kwargs=named,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    print(json.dumps(words.take_all(), default=list), flush=True)
    ray.shutdown()


class Numbered(Predictor):
    """Adds the number of the process."""

    def __call__(self, batch):  # type: ignore[no-untyped-def]
        """Answer a batch."""
        import numpy as np

        found = super().__call__(batch)
        return {**found, "process": np.full(len(found["text"]), os.getpid())}


if __name__ == "__main__":
    main(*sys.argv[1:])
