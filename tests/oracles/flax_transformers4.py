"""What the Flax classes of transformers 4.57.6 answer, the last that there were.

    pip install --target flax4 --no-deps "transformers==4.57.6" "tokenizers<0.23" "huggingface-hub<1"
    PYTHONPATH=flax4:src:tests:tests/support python tests/oracles/flax_transformers4.py record

It needs jax, flax and torch of any version beside them. `record` writes tests/data/flax_transformers4.npz: the outputs of some cases of
`conformance.cases`, of weights that `save_checkpoint` wrote as flax_model.msgpack, and a token at a time where there is a cache.
All are one long row of numbers, beside a list of [case, output, shape] in their order.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import transformers
from conformance.cases import LABELS, Arrays, Case, cases, visible

from bertkit.checkpoint import save_checkpoint
from bertkit.heads import HEADS

DATA = Path(__file__).parents[1] / "data" / "flax_transformers4.npz"
NAMES = (
    *(f"{head}/{kind}" for head in HEADS for kind in ("plain", "padded")),
    "ForMaskedLM/gelu_new",
    "ForMaskedLM/untied",
    "Model/decoder, masked cross-attention",
    "LMHeadModel/masked cross-attention",
)


def answers(case: Case) -> Arrays:
    """Outputs by name, zeros at padding, the states and attentions of the layers numbered."""
    cls = getattr(transformers, f"FlaxBert{case.head.replace('LMHeadModel', 'ForCausalLM')}")
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, case.weights, case.config, case.head, to="msgpack")
        model = cls.from_pretrained(folder)
    inputs = {name: jnp.asarray(array) for name, array in case.inputs.items() if name not in LABELS}
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
    found: Arrays = {}
    for name, value in outputs.items():
        for key, array in (
            [(f"{name}/{i}", layer) for i, layer in enumerate(value)] if isinstance(value, tuple) else [(name, value)]
        ):
            found[key] = visible(case, name, np.asarray(array))
    if case.cached:
        name = "logits" if "logits" in found else "last_hidden_state"
        found[f"cached {name}"] = visible(case, name, step_by_step(model, inputs, name))
    return found


def step_by_step(model: Any, inputs: dict[str, Any], name: str) -> np.ndarray:
    """The same output, a token at a time."""
    ids, rest = inputs["input_ids"], {key: array for key, array in inputs.items() if key != "input_ids"}
    past, steps = model.init_cache(*ids.shape), []
    for i in range(ids.shape[1]):
        places = jnp.full((len(ids), 1), i)
        outputs = model(ids[:, i : i + 1], **rest, position_ids=places, past_key_values=past)
        past = outputs.past_key_values
        steps.append(np.asarray(outputs[name]))
    return np.concatenate(steps, 1)


def record() -> None:
    """Ask every case and write one file."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    found = {(name, output): array for name in NAMES for output, array in answers(cases()[name]).items()}
    index = json.dumps([[name, output, list(array.shape)] for (name, output), array in found.items()])
    values = np.concatenate([array.astype(np.float32).reshape(-1) for array in found.values()])
    np.savez_compressed(DATA, index=index, values=values)
    print(f"{DATA}: {len(found)} arrays, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    {"record": record}[sys.argv[1]]()
