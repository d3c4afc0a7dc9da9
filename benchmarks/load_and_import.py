"""Import time, and time and memory to load a bert-base from each kind of file, compared with transformers.

    python benchmarks/load_and_import.py [--rounds 5] [--size base] [--transformers4 PYTHON] [--json FILE]

Each measurement is a separate process. Both libraries run in turns, with the files in the page cache. "ready" is the time until
every number has been read once, as a memory-mapped file is opened without reading it. "memory" is the peak without the memory of
the imports, as a multiple of the weights. transformers loads by BertForPreTraining.from_pretrained, bertkit as arrays and as its
PyTorch class. A ratio is relative to the PyTorch class of bertkit if it was measured. It is the median of the ratios of each
round, as the speed of a machine may change between rounds.
`--transformers4` is the Python of an environment with transformers 4.57.6 and TensorFlow, which still reads Google's checkpoints
(tests/oracles/transformers4.py describes how to make it).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = "ForPreTraining"

MEASURE = """
import json, os, resource, sys, threading, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
"""
IMPORT = (
    MEASURE
    + """
start = time.perf_counter()
{what}
print(json.dumps({{"seconds": time.perf_counter() - start, "modules": len(sys.modules)}}))
"""
)
LOAD = (
    MEASURE
    + """
{imports}
before, peak, done = resident(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.001)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
start = time.perf_counter()
{load}
opened = time.perf_counter() - start
total = sum(float(array.sum()) for array in arrays)
ready = time.perf_counter() - start
peak, done = max(peak, resident()), True
watcher.join()
print(json.dumps({{"opened": opened, "ready": ready, "memory": peak - before, "sum": total}}))
"""
)


def ours(place: str) -> str:
    """A script that loads arrays with bertkit."""
    return LOAD.format(
        imports="import numpy as np, bertkit; bertkit.load_checkpoint, bertkit.locate",
        load=f"arrays = list(bertkit.load_checkpoint({place!r})[0].values())",
    )


def model(library: str, place: str) -> str:
    """A script that loads the PyTorch class of bertkit or of transformers."""
    return LOAD.format(
        imports=f"import torch; from {library} import BertForPreTraining; torch.set_grad_enabled(False)",
        load=f"model = BertForPreTraining.from_pretrained({place!r}); arrays = list(model.parameters())",
    )


# In 4.57.6 the PyTorch classes cannot read these three (from_tf and from_flax leave the model on the meta device). Each is
# therefore read by the class that wrote it, and Google's checkpoint by the function of transformers' converter.
THEIRS_OF_VERSION_4 = {
    "google": (
        "from transformers.models.bert.modeling_bert import BertConfig, BertForPreTraining, load_tf_weights_in_bert",
        """
config = BertConfig.from_json_file({place!r} + "/config.json")
model = load_tf_weights_in_bert(BertForPreTraining(config), config, {place!r} + "/bert_model.ckpt")
arrays = [array.detach() for array in model.parameters()]
""",
    ),
    "h5": (
        "import numpy as np; from transformers import TFBertForPreTraining",
        "arrays = [w.numpy() for w in TFBertForPreTraining.from_pretrained({place!r}, use_safetensors=False).weights]",
    ),
    "msgpack": (
        "import jax, numpy as np; from transformers import FlaxBertForPreTraining",
        "arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(FlaxBertForPreTraining.from_pretrained({place!r}).params)]",
    ),
}


def theirs_of_version_4(kind: str, place: str) -> str:
    """A script that loads, with transformers 4.57.6, a file that version 5 cannot read."""
    imports, load = THEIRS_OF_VERSION_4[kind]
    return LOAD.format(imports=imports, load=load.format(place=place))


def run(python: str, script: str) -> dict[str, float]:
    """Run a script in a new process of a Python. Returns the JSON of its last line."""
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
    elsewhere = Path(__file__).parents[1]  # not this folder, whose tokenizers.py hides the package of that name
    result = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, env=environment, cwd=elsewhere, check=False, timeout=300
    )
    if result.returncode:
        raise SystemExit(f"{python} failed:\n{script}\n{result.stderr[-3000:]}")
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


Runs = dict[str, list[dict[str, float]]]


def interleaved(rounds: int, scripts: dict[str, tuple[str, str]]) -> Runs:
    """The numbers of each script in each round. The scripts run in turns, and the first round warms the page cache."""
    found: Runs = {name: [] for name in scripts}
    for round_ in range(rounds + 1):
        for name, (python, script) in scripts.items():
            numbers = run(python, script)
            if round_:
                found[name].append(numbers)
    return found


def median(runs: list[dict[str, float]], key: str) -> float:
    """The median of a number over the rounds."""
    return statistics.median(numbers[key] for numbers in runs)


def ratio(runs: list[dict[str, float]], base: list[dict[str, float]], key: str) -> float:
    """The median of the ratios within each round, as the speed of the machine may change between rounds."""
    return statistics.median(a[key] / b[key] for a, b in zip(runs, base, strict=True))


def make_files(folder: Path, size: str) -> int:
    """Write the same random weights to each kind of file. Returns their size in bytes."""
    import numpy as np
    import torch

    from bertkit import BertConfig, save_checkpoint
    from bertkit.parameters import expand, initial

    config = BertConfig.named(size)
    rng = np.random.default_rng(0)
    weights = {name: initial(parameter, config, rng) for name, parameter in expand(config, HEAD).items()}
    save_checkpoint(folder / "safetensors", weights, config, HEAD)
    save_checkpoint(folder / "google", weights, config, HEAD, to="google")
    save_checkpoint(folder / "h5", weights, config, HEAD, to="h5")
    save_checkpoint(folder / "msgpack", weights, config, HEAD, to="msgpack")
    (folder / "bin").mkdir()
    config.save_pretrained(folder / "bin")
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    torch.save(tensors, folder / "bin" / "pytorch_model.bin")
    return sum(array.nbytes for array in weights.values())


def main() -> None:
    """Run the benchmark, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="base", help="a published size: tiny ... large")
    parser.add_argument("--transformers4", metavar="PYTHON", help="Python of an environment with transformers 4.57.6")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    here, four = sys.executable, options.transformers4

    imports = {
        "import bertkit": (here, IMPORT.format(what="import bertkit")),
        "import transformers": (here, IMPORT.format(what="import transformers")),
        "from bertkit import BertConfig, load_checkpoint": (
            here,
            IMPORT.format(what="from bertkit import BertConfig, load_checkpoint"),
        ),
        "from transformers import BertConfig, BertModel": (
            here,
            IMPORT.format(what="from transformers import BertConfig, BertModel"),
        ),
    }
    figures = {"imports": interleaved(options.rounds, imports)}
    print(f"{'':<52}{'ms':>8}{'modules':>9}")
    for name, runs in figures["imports"].items():
        print(f"{name:<52}{median(runs, 'seconds') * 1e3:>8.1f}{median(runs, 'modules'):>9.0f}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = make_files(folder, options.size)
        scripts = {}
        for kind in ("safetensors", "bin", "google", "h5", "msgpack"):
            place = str(folder / kind)
            scripts[f"{kind}: bertkit"] = (here, ours(place))
            if kind in ("safetensors", "bin"):
                scripts[f"{kind}: bertkit, PyTorch"] = (here, model("bertkit", place))
                scripts[f"{kind}: transformers 5"] = (here, model("transformers", place))
            elif four:
                script = theirs_of_version_4(kind, place)
                scripts[f"{kind}: transformers 4.57.6"] = (four, script)
        figures["loads"] = interleaved(options.rounds, scripts)
    print(f"\n{options.size}, {size / 1e6:.0f} MB of weights")
    print(f"{'':<34}{'opened, ms':>12}{'ready, ms':>12}{'memory':>9}{'opened, ratio':>15}{'ready, ratio':>14}")
    loads = figures["loads"]
    for name, runs in loads.items():
        kind, _, library = name.partition(": ")
        base = loads[f"{kind}: bertkit, PyTorch" if library == "transformers 5" else f"{kind}: bertkit"]
        opened, ready, memory = (median(runs, key) for key in ("opened", "ready", "memory"))
        print(
            f"{name:<34}{opened * 1e3:>12.1f}{ready * 1e3:>12.1f}{f'{memory / size:.2f}x':>9}"
            f"{ratio(runs, base, 'opened'):>15.1f}{ratio(runs, base, 'ready'):>14.1f}"
        )
    if not four:
        print(
            "transformers 5 does not read Google's, Keras's and Flax's files: pass --transformers4 to compare with version 4."
        )
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
