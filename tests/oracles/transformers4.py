"""What transformers 4.57.6 writes and reads, for the tests that cannot have it beside them.

Its TensorFlow and Flax classes need versions of other packages that clash with today's, so it has an environment of its own:

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 tensorflow-cpu==2.21.0 tf-keras==2.21.0 jax==0.10.2 flax==0.12.8
    TF_USE_LEGACY_KERAS=1 PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/transformers4.py record
    TF_USE_LEGACY_KERAS=1 PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/transformers4.py check

`record` writes tests/data/transformers4.tar.xz: tf_model.h5, flax_model.msgpack, pytorch_model.bin and config.json of a tiny model of
each of the nine classes, and of a decoder with cross-attention, with the weights of `tiny.weights`.
`check` lets bertkit write the same models and loads them in the nine TensorFlow, nine Flax and nine PyTorch classes.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import tiny
import torch
import transformers

from bertkit import save_checkpoint
from bertkit.heads import HEADS

DATA = Path(__file__).parents[1] / "data" / "transformers4.tar.xz"
CASES = {head: {"num_labels": 2 if head == "ForQuestionAnswering" else 3} for head in HEADS}
CASES["LMHeadModel-cross"] = {"is_decoder": True, "add_cross_attention": True}
FLAX = {"LMHeadModel": "ForCausalLM"}


def classes(case: str) -> tuple[str, type, type, type]:
    """The head and the PyTorch, TensorFlow and Flax class of a case."""
    head = case.partition("-")[0]
    names = (f"Bert{head}", f"TFBert{head}", f"FlaxBert{FLAX.get(head, head)}")
    return head, *(getattr(transformers, name) for name in names)


def pytorch_model(case: str) -> torch.nn.Module:
    """The tiny model of a case in their PyTorch class."""
    head, cls, _, _ = classes(case)
    config = tiny.config(**CASES[case])
    model = cls(transformers.BertConfig(**config.to_dict()))
    weights = {name: torch.from_numpy(array) for name, array in tiny.weights(config, head).items()}
    if head == "Model":
        weights = {name.removeprefix("bert."): array for name, array in weights.items()}
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys and all("decoder" in name for name in left.missing_keys), left
    model.tie_weights()
    return model.eval()


def record() -> None:
    """Write what they write into one archive."""
    with tarfile.open(DATA, "w:xz", preset=9) as archive, tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            _, _, tensorflow_class, flax_class = classes(case)
            directory = Path(folder) / case
            pytorch_model(case).save_pretrained(directory, safe_serialization=False)
            tensorflow_class.from_pretrained(directory, from_pt=True).save_pretrained(
                directory, safe_serialization=False
            )
            flax_class.from_pretrained(directory, from_pt=True).save_pretrained(directory, safe_serialization=False)
            for path in sorted(directory.iterdir()):
                if path.name in ("tf_model.h5", "flax_model.msgpack", "pytorch_model.bin", "config.json"):
                    entry = tarfile.TarInfo(f"{case}/{path.name}")
                    entry.size = path.stat().st_size
                    archive.addfile(entry, io.BytesIO(path.read_bytes()))
    print(f"{DATA}: {DATA.stat().st_size} bytes")


def check() -> None:
    """Load what bertkit writes, compare every weight and the outputs, and say so."""
    ids = np.array([[2, 5, 7, 3], [2, 9, 3, 0]])
    for case in CASES:
        head, torch_class, tensorflow_class, flax_class = classes(case)
        config = tiny.config(**CASES[case])
        wanted = pytorch_model(case)
        inputs = ids[None] if head == "ForMultipleChoice" else ids
        encoder = tiny.numbers("encoder", (2, 4, 8)) if config.add_cross_attention else None
        extra = {} if encoder is None else {"encoder_hidden_states": encoder}
        with torch.no_grad():
            outputs = wanted(torch.from_numpy(inputs), **{k: torch.from_numpy(v) for k, v in extra.items()}).to_tuple()
        for to, cls in (("safetensors", torch_class), ("h5", tensorflow_class), ("msgpack", flax_class)):
            with tempfile.TemporaryDirectory() as folder:
                save_checkpoint(folder, tiny.weights(config, head), config, head, to=to)
                if to == "msgpack":
                    model, info = cls.from_pretrained(folder), {}
                else:
                    model, info = cls.from_pretrained(
                        folder, output_loading_info=True, use_safetensors=to == "safetensors"
                    )
                left = {key: value for key, value in info.items() if value and key != "error_msgs"}
                if to == "safetensors":
                    state, theirs = model.state_dict(), wanted.state_dict()
                    assert all(torch.equal(state[name], theirs[name]) for name in theirs)
                    difference = 0.0
                else:
                    difference = _difference(model, inputs, extra, outputs)
                print(
                    f"{case:<28}{to:<13}largest difference of outputs {difference:.1e}  left over {left or 'nothing'}"
                )
                assert difference < 1e-5


def _difference(model: object, inputs: np.ndarray, extra: dict[str, np.ndarray], outputs: tuple[object, ...]) -> float:
    got = model(input_ids=inputs, **extra)
    arrays = [np.asarray(value) for value in got.to_tuple() if hasattr(value, "shape")]
    wanted = [value.numpy() for value in outputs if isinstance(value, torch.Tensor)]
    assert arrays and [a.shape for a in arrays] == [w.shape for w in wanted][: len(arrays)]
    return max(float(np.abs(a - w).max()) for a, w in zip(arrays, wanted, strict=False))


if __name__ == "__main__":
    {"record": record, "check": check}[sys.argv[1]]()
