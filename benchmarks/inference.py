"""Speed of inference: the engines of bertkit and other libraries, on the same weights and rows of ids.

    python benchmarks/inference.py [--size base|mini] [--layers N] [--workloads full one mix long] [--contestants NAME ...]
                                   [--device cpu|cuda] [--seconds 5] [--rounds 3] [--json FILE] [--png FILE]
    python benchmarks/inference.py --table FILE.json ...                # the table of README.md, from finished runs

    full     a batch of 32 rows of 128 tokens
    one      one row of 128 tokens
    mix      512 texts of real lengths (lognormal, median 40, 95th percentile 200) in random order
    long     a batch of 4 rows of 512 tokens

The weights are random: 3 layers of BERT-base, or BERT-mini (4 layers of 256). The result is the last hidden state of all tokens.
Other libraries run as their documentation shows: batches of 32 in the order of arrival, padded to the longest. With "sorted",
they get the batches that bertkit makes for engines with padding. Contestants whose library is not installed are left out, and on
a GPU those that run on the CPU. Results are copied to the CPU.

    transformers          BertModel with sdpa in float32, its default; also eager, in bf16, and with torch.compile
    onnxruntime           the graph that PyTorch exports from it, optimized by ONNX Runtime; also int8 (dynamic)
    openvino              the graph that OpenVINO converts from it, with its default precision; also int8 with nncf

Each contestant is a separate process. They take turns, in alternating order. Tokens are those without padding. A ratio is that of
all turns, with a 95 percent bootstrap interval.

The limits are the operations per second of products of large matrices with PyTorch, the median of one measurement before each
round. A utilization is the operations per second of a contestant, counted in its own products of matrices, divided by the limit
in float32 or bfloat16; that of int8 by the limit in float32.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from attention import real_lengths
from turns import Process, Turns, processor, show, take_turns

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

SIZES = {  # the fields of a configuration
    "base": {"hidden_size": 768, "num_hidden_layers": 3, "num_attention_heads": 12, "intermediate_size": 3072},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
}
WORKLOADS = {"full": "32 x 128", "one": "1 x 128", "mix": "512 texts of real lengths", "long": "4 x 512"}
OURS = (
    "torch fp32",
    "torch bf16",
    "torch int8",
    "onnx fp32",
    "onnx int8",
    "openvino fp32",
    "openvino bf16",
    "openvino int8",
)
PEERS = {  # name -> the modules that it needs
    "transformers": ("transformers",),
    "transformers eager": ("transformers",),
    "transformers bf16": ("transformers",),
    "transformers compiled": ("transformers",),
    "onnxruntime fp32": ("transformers", "onnx", "onnxruntime"),
    "onnxruntime int8": ("transformers", "onnx", "onnxruntime"),
    "openvino default": ("transformers", "openvino"),
    "openvino int8": ("transformers", "openvino", "nncf"),
}
ON_GPU = ("bertkit torch fp32", "bertkit torch bf16", *(name for name in PEERS if name.startswith("transformers")))
LIMITS = ("float32", "bfloat16")
_REPEATS = {"full": 1, "one": 20, "mix": 1, "long": 1}

Rows = list[np.ndarray]
Forward = Callable[[Rows], object]
Open = Callable[[str, Path, str], Forward]  # kind, folder, device


def rows_of(workload: str, words: int) -> Rows:
    """Return rows of random ids."""
    lengths = {"full": [128] * 32, "one": [128], "mix": real_lengths(512, 512, seed=0), "long": [512] * 4}[workload]
    rng = np.random.default_rng(0)
    return [rng.integers(1000, words, length) for length in lengths]


def operations(config: Any, rows: Rows) -> float:
    """Return the operations of a forward: two for each multiplication in products of matrices."""
    hidden, wide, lengths = config.hidden_size, config.intermediate_size, np.array([len(row) for row in rows], float)
    of_token = 8 * hidden * hidden + 4 * hidden * wide
    return float(config.num_hidden_layers * (of_token * lengths.sum() + 4 * hidden * (lengths**2).sum()))


# ------------------------------------------------------------------------------------------------------------ the contestants


def ours(name: str, folder: Path, device: str) -> Forward:
    """Return the forward of an engine, in its own batches."""
    from bertkit import BertConfig, load_checkpoint, locate
    from bertkit.data.batches import Row, by_length, pack
    from bertkit.engines.base import engine_class
    from bertkit.heads import Ask

    engine_name, precision = name.split()
    config = BertConfig.from_pretrained(folder)
    tensors, _ = load_checkpoint(locate(folder), "Model", config=config)
    engine = engine_class(engine_name).open(tensors, config, "Model", device=device, precision=precision)

    def forward(rows: Rows) -> None:
        made = [Row(row, np.zeros_like(row)) for row in rows]
        for batch in by_length(made, engine.limits):
            engine.run(pack([made[index] for index in batch]), Ask(("last_hidden_state",)))

    return forward


def padded(rows: Rows) -> dict[str, np.ndarray]:
    """Return a batch as other libraries take it."""
    longest = max(map(len, rows))
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    ids = np.array([[*row, *[0] * (longest - len(row))] for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def of_transformers(kind: str, folder: Path, device: str) -> Forward:
    """Return the forward of BertModel."""
    import torch
    from transformers import BertModel

    model: Any = (
        BertModel.from_pretrained(folder, attn_implementation="eager" if kind == "eager" else "sdpa").eval().to(device)
    )
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    if kind == "compiled":
        model = torch.compile(model, dynamic=True)

    def forward(rows: Rows) -> None:
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(array).to(device) for name, array in padded(rows).items()})
            found.last_hidden_state.cpu()

    return forward


def traceable(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return a module of BertModel for exporters, ids and masks -> last hidden state, and an example of its inputs."""
    import torch
    from transformers import BertModel

    class LastState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            found = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return found.last_hidden_state

    inputs = padded([np.arange(8), np.arange(5)])
    return LastState(), {name: torch.from_numpy(array) for name, array in inputs.items()}


def of_onnxruntime(kind: str, folder: Path, device: str) -> Forward:
    """Return the forward of a graph that PyTorch exports, optimized by ONNX Runtime."""
    import onnxruntime

    path = folder / f"{kind}.onnx"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:  # another contestant may write the same file
            write_onnx(kind, folder, Path(place) / path.name)
            (Path(place) / path.name).replace(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["last_hidden_state"], padded(rows))


def write_onnx(kind: str, folder: Path, path: Path) -> None:
    """Export a model from PyTorch, optimize it, and quantize it for int8."""
    import torch
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model

    model, inputs = traceable(folder)
    axes = {name: {0: "batch", 1: "length"} for name in (*inputs, "last_hidden_state")}
    names = {"input_names": list(inputs), "output_names": ["last_hidden_state"], "dynamic_axes": axes}
    torch.onnx.export(model, tuple(inputs.values()), str(path), dynamo=False, **names)
    sizes = {"num_heads": model.bert.config.num_attention_heads, "hidden_size": model.bert.config.hidden_size}
    optimize_model(str(path), model_type="bert", **sizes).save_model_to_file(str(path))
    if kind == "int8":
        untyped = {"DefaultTensorType": TensorProto.FLOAT}  # of the nodes of ONNX Runtime's own
        quantize_dynamic(str(path), str(path), weight_type=QuantType.QInt8, extra_options=untyped)


def of_openvino(kind: str, folder: Path, device: str) -> Forward:
    """Return the forward of a graph that OpenVINO converts from PyTorch."""
    import openvino

    model, inputs = traceable(folder)
    converted = openvino.convert_model(model, example_input=inputs)
    if kind == "int8":
        import nncf

        samples = [padded([row]) for row in rows_of("mix", model.bert.config.vocab_size)[:300]]
        converted = nncf.quantize(converted, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER)
    compiled = openvino.compile_model(converted, "CPU")
    return lambda rows: compiled(padded(rows))


_FORWARDS: dict[str, Open] = {"transformers": of_transformers, "onnxruntime": of_onnxruntime, "openvino": of_openvino}


def measure_limits(device: str) -> None:
    """Measure products of large matrices in each precision, once for each line of stdin."""
    import torch

    from bertkit.training.pretraining.flops import matrix_limit

    while int(sys.stdin.readline() or 0):
        print(json.dumps([matrix_limit(torch.device(device), getattr(torch, one)) for one in LIMITS]), flush=True)


def serve(name: str, folder: Path, workload: str, device: str) -> None:
    """Be a contestant."""
    from bertkit import BertConfig
    from bertkit.data.batches import Limits, Row, by_length

    if name == "limits":
        return measure_limits(device)
    config = BertConfig.from_pretrained(folder)
    rows = rows_of(workload, config.vocab_size)
    plain = name.removesuffix(" sorted")
    library, _, kind = plain.partition(" ")
    batches = [rows[start : start + 32] for start in range(0, len(rows), 32)]
    if library == "bertkit":
        forward, batches = ours(kind, folder, device), [rows]
    else:
        forward = _FORWARDS[library](kind, folder, device)
    if name != plain:
        made = [Row(row, row) for row in rows]
        batches = [[rows[index] for index in batch] for batch in by_length(made, Limits(rectangle=True))]
    tokens, flops = (count * _REPEATS[workload] for count in (sum(map(len, rows)), operations(config, rows)))
    turns = Turns(0)
    going = turns.wait()
    while going:
        for _ in range(_REPEATS[workload]):
            for batch in batches:
                forward(batch)
        going = turns.step(tokens, flops)
    return None


# --------------------------------------------------------------------------------------------------------------- the referee


NAMES = [f"bertkit {name}" for name in OURS] + [name for peer in PEERS for name in (peer, f"{peer} sorted")]


def contestants(wanted: Sequence[str], workload: str, device: str) -> list[str]:
    """Return the names of the contestants whose libraries are installed."""
    found = []
    for name in wanted:
        library, _, kind = name.removesuffix(" sorted").partition(" ")
        needed = (
            (kind.split()[0].replace("onnx", "onnxruntime"),)
            if library == "bertkit"
            else PEERS[name.removesuffix(" sorted")]
        )
        if workload != "mix" and name.endswith(" sorted"):
            continue
        if device != "cpu" and name.removesuffix(" sorted") not in ON_GPU:
            continue
        if missing := [module for module in needed if not find_spec(module)]:
            print(f"{name} is left out: {', '.join(missing)} is not installed", file=sys.stderr)
            continue
        found.append(name)
    return found


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    hardware = processor() if options.device == "cpu" else torch.cuda.get_device_name()
    packages = ("bertkit", "torch", "transformers", "onnxruntime", "openvino", "nncf")
    versions = {name: version(name) for name in packages if find_spec(name)}
    day = datetime.now(UTC).date().isoformat()
    return {"date": day, "processor": hardware, "size": options.size, "layers": options.layers, "versions": versions}


def measured(
    names: Sequence[str], folder: str, workload: str, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return and print the figures of each contestant."""
    limit, *processes = (
        Process(__file__, ["--serve", name, folder, workload, "--device", options.device], options.errors)
        for name in ("limits", *names)
    )
    limits: list[list[float]] = []
    found = take_turns(dict(zip(names, processes, strict=True)), options, before=lambda: limits.append(limit.turn(1)))
    limit.close()
    show(f"{options.size}, {WORKLOADS[workload]}", found)
    add_utilization(found, [float(one) for one in np.median(limits, 0)])
    return found


def add_utilization(figures: dict[str, dict[str, Any]], limits: Sequence[float]) -> None:
    """Add to each contestant the share of the limit that it reaches, and print the shares of bertkit."""
    for name, one in figures.items():
        one["utilization"] = one["flops_per_second"] / limits[name.endswith("bf16")]
    ours = ", ".join(f"{name[8:]} {one['utilization']:.2f}" for name, one in figures.items() if name[:7] == "bertkit")
    said = ", ".join(f"{name} {limit / 1e9:,.0f} GFLOP/s" for name, limit in zip(LIMITS, limits, strict=True))
    print(f"  limits: {said}; utilization of bertkit: {ours}", flush=True)


def save_model(folder: Path, size: str, layers: int | None) -> None:
    """Write a model with random weights."""
    from bertkit import BertConfig, BertModel

    sizes = SIZES[size] | ({"num_hidden_layers": layers} if layers else {})
    BertModel(BertConfig(**sizes)).save_pretrained(folder)


def picture(path: Path, found: dict[str, dict[str, dict[str, Any]]], title: str) -> None:
    """Draw the speed of all contestants in each workload, bertkit's in another colour."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(5.2 * len(found), 5), layout="constrained", squeeze=False)
    for workload, place in zip(found, axes[0], strict=True):
        rows = sorted(found[workload].items(), key=lambda item: item[1]["tokens_per_second"])
        speeds = [one["tokens_per_second"] for _, one in rows]
        colours = ["#2a6fbb" if name.startswith("bertkit") else "#8c959f" for name, _ in rows]
        bars = place.barh([name for name, _ in rows], speeds, color=colours)
        place.bar_label(bars, [f" {speed:,.0f}" for speed in speeds])
        place.set_title(WORKLOADS[workload])
        place.set_xlabel("tokens per second")
        place.margins(x=0.2)
        place.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)


def table(paths: Sequence[Path]) -> str:
    """Return finished runs as Markdown: tokens per second, and how many times those of transformers' default in the same run.

    A contestant that was in several runs of a workload has the figures of the first one.
    """
    runs = [json.loads(path.read_text("utf-8")) for path in paths]
    cells: dict[str, dict[str, str]] = {}
    peaks: dict[str, float] = {}
    for workload, rows in (item for run in runs for item in run["workloads"].items()):
        usual = rows.get("transformers", {}).get("tokens_per_second")
        for name, own in rows.items():
            speed = own["tokens_per_second"]
            text = f"{speed:,.0f}" + (f" ({speed / usual:.2f})" if usual else "")
            cells.setdefault(name, {}).setdefault(workload, text)
            peaks[name] = max(peaks.get(name, 0), own["peak"])
    workloads = list(dict.fromkeys(workload for run in runs for workload in run["workloads"]))
    versions = ", ".join(f"{name} {one}" for name, one in runs[0]["versions"].items())
    lines = [
        f"{runs[0]['date']}, {runs[0]['processor']}; {versions}.\n",
        f"| | {' | '.join(WORKLOADS[workload] for workload in workloads)} | peak, MB |",
        f"|---|{'---|' * len(workloads)}---|",
    ]
    for name in sorted(cells, key=NAMES.index):
        found = [cells[name].get(workload, "") for workload in workloads]
        lines.append(f"| {name} | {' | '.join(found)} | {peaks[name] / 1e6:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark, or one contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--layers", type=int, help="instead of those of the size")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument(
        "--contestants",
        nargs="+",
        choices=NAMES,
        default=NAMES,
        metavar="NAME",
        help="such as 'bertkit torch fp32' and 'transformers'; default: all",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seconds", type=float, default=5, help="minimum for each contestant and workload")
    parser.add_argument("--rounds", type=int, default=3, help="minimum of turns")
    parser.add_argument("--steps", type=int, default=1, help="times that a turn runs the workload")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE.json", help="print the table of finished runs")
    parser.add_argument("--show-errors", dest="errors", action="store_const", const=None, default=subprocess.DEVNULL)
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "FOLDER", "WORKLOAD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.table:
        return print(table(options.table))
    if options.serve:
        name, folder, workload = options.serve
        return serve(name, Path(folder), workload, options.device)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), options.size, options.layers)
        print(json.dumps(about(options)))
        for workload in options.workloads:
            names = contestants(options.contestants, workload, options.device)
            if not names:
                continue
            found[workload] = measured(names, folder, workload, options)
            if options.json:  # after each workload, as the next may fail
                options.json.write_text(json.dumps({**about(options), "workloads": found}, indent=1))
    if options.png:
        picture(options.png, found, f"{options.size}: {about(options)['processor']}")
    return None


if __name__ == "__main__":
    main()
