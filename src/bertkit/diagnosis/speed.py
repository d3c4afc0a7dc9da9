"""How fast this machine runs a BERT, and how fast its products of matrices let it be.

A BERT is mostly products of matrices. Measured by themselves, these say what is expected of the machine. Then the engine that
`--engine auto` opens runs two layers of the size of BERT-base, and its speed is compared with theirs. Both take turns, and the
best time of each counts, so that other programs disturb little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Row, pack
from bertkit.engines.base import engine_class
from bertkit.heads import Ask
from bertkit.parameters import expand, initial
from bertkit.pipelines.open import usual_engine

_LAYERS = 2
_LENGTH = 128  # tokens of a row
_ROWS = {"cuda": 64}  # by the kind of the device; on a CPU 2
Run = Callable[[], object]


def measured(seconds: float) -> dict[str, Any]:
    """Measure for some time. Speeds of products are in GFLOP/s, billions of multiplications and additions in a second."""
    name, config = usual_engine(), BertConfig(vocab_size=1_000, num_hidden_layers=_LAYERS)
    rng = np.random.default_rng(0)
    tensors = {own: initial(parameter, config, rng) for own, parameter in expand(config, "Model").items()}
    engine = engine_class(name).open(tensors, config, "Model", precision="auto")
    device = str(engine.device).partition(":")[0]
    ids = rng.integers(5, config.vocab_size, (_ROWS.get(device, 2), _LENGTH))
    batch = pack([Row(row, np.zeros_like(row)) for row in ids])
    tokens, ask = int(batch.lengths.sum()), Ask(layers=(_LAYERS,))
    shape = (tokens, config.hidden_size, config.intermediate_size)
    runs: dict[str, Run] = {"model": lambda: engine.run(batch, ask)}
    if name == "torch":
        runs |= _products_of_torch(shape, engine)
    else:
        a, b = (rng.standard_normal(size, np.float32) for size in (shape[:2], shape[1:]))
        runs["products"] = lambda: a @ b
    best = _best_times(runs, seconds)
    product = 2 * shape[0] * shape[1] * shape[2]
    work = _LAYERS * tokens * (8 * shape[1] ** 2 + 4 * shape[1] * shape[2])  # of all products with weights
    rate = product / best["products"]
    return {
        "engine": name,
        "precision": engine.precision,
        "device": str(engine.device),
        "gflops": rate / 1e9,
        "gflops_of_one_thread": product / best["one thread"] / 1e9 if "one thread" in best else None,
        "tokens_per_second": tokens / best["model"] * _LAYERS / 12,  # of 12 layers
        "share": work / rate / best["model"],
    }


def _products_of_torch(shape: tuple[int, int, int], engine: Any) -> dict[str, Run]:
    """Products in the precision of the engine, on its device, and on a CPU also those of one thread."""
    torch = import_module("torch")
    a, b = (torch.randn(size, device=engine.device, dtype=engine.dtype) for size in (shape[:2], shape[1:]))

    def products() -> None:
        with torch.inference_mode():
            a @ b
        if a.is_cuda:
            torch.cuda.synchronize()

    def one_thread() -> None:
        with _threads(torch, 1):
            products()

    several = a.device.type == "cpu" and torch.get_num_threads() > 1
    return {"products": products, **({"one thread": one_thread} if several else {})}


@contextmanager
def _threads(torch: Any, count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best_times(runs: dict[str, Run], seconds: float) -> dict[str, float]:
    """The shortest time of each function, in turns until the time has passed. The first turn is not counted."""
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    while True:
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
        if time.perf_counter() > end:
            return best
