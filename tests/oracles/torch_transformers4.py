"""What transformers 4.57.6 answers, for the tests that cannot have it beside them: transformers 5 dropped much of it.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 ml-dtypes huggingface-hub tqdm
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/torch_transformers4.py record

`record` writes tests/data/torch_transformers4.npz: the outputs and, as random projections, the gradients of every case of
`conformance.cases`. All are one long row of numbers, beside a list of [case, output, shape] in their order. The questions
are made from seeds and not stored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from conformance.cases import cases
from conformance.oracle import answers

DATA = Path(__file__).parents[1] / "data" / "torch_transformers4.npz"


def record() -> None:
    """Ask every case and write one file."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    torch.set_num_threads(1)
    found = {(name, output): array for name, case in cases().items() for output, array in answers(case).items()}
    index = json.dumps([[name, output, list(array.shape)] for (name, output), array in found.items()])
    values = np.concatenate([array.astype(np.float32).reshape(-1) for array in found.values()])
    np.savez_compressed(DATA, index=index, values=values)
    print(f"{DATA}: {len(found)} arrays, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    {"record": record}[sys.argv[1]]()
