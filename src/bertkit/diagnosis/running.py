"""What runs: the libraries that can be imported, the devices, and the speed, as the process of probe.py reports them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from bertkit.diagnosis.findings import Finding, fine, note, wrong
from bertkit.diagnosis.machine import gigabytes
from bertkit.errors import printable

_PATIENCE = 300.0  # seconds for the imports
_SLOW = 0.2  # share of the speed of the products
_DISTURBED = 1.2  # share that only a busy machine shows, as the products were slowed down
_LOSS = 0.9  # speed of all threads, compared with one

Steps = dict[str, Any]


def probed(seconds: float) -> Steps:
    """Run probe.py. Returns the result of each of its steps; that of a step in which the process ended has an error."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "bertkit.diagnosis.probe",
        str(seconds),
    ]  # -P: no module of the current folder
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out, tempfile.TemporaryFile() as err:
        try:
            limit = _PATIENCE + 10 * seconds
            done = subprocess.run(command, stdout=out, stderr=err, timeout=limit, check=False)
            fate = "" if not done.returncode else _fate(done.returncode)
        except subprocess.TimeoutExpired:
            fate = f"it took more than {limit:.0f} seconds"
        for file in (out, err):
            file.seek(0)
        steps, last = _read(out.read())
        said = err.read().decode(errors="replace").strip().splitlines()
    if fate and last not in steps:
        steps[last] = {"error": f"{fate}. {said[-1] if said else ''}".strip()}
    return steps


def _read(text: str) -> tuple[Steps, str]:
    """The steps of an output, and the last one that began. Lines that a library has printed are skipped."""
    steps: Steps = {}
    last = "start"
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            last = found.pop("begins", last)
            steps |= found
    return steps, last


def _fate(code: int) -> str:
    """How a process ended."""
    if code == -getattr(signal, "SIGILL", 4):
        return "it has instructions that this processor lacks"
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def imports(steps: Mapping[str, Any]) -> Iterator[Finding]:
    """The libraries that cannot be imported, and those that can."""
    able = [name for name, found in steps.items() if name != "speed" and "error" not in found]
    yield fine("imports", f"{', '.join(able)} can be imported.", modules=able)
    for name, found in steps.items():
        if name != "speed" and "error" in found:
            package = name.replace("_", "-")
            text = f"import {name} fails: {printable(found['error'], 500)}"
            yield wrong(package, text, f"pip install --force-reinstall {package}")


def nvidia_gpus() -> list[str]:
    """The GPUs of NVIDIA by name and memory, as their driver lists them; empty if there is none or no driver."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def devices(steps: Mapping[str, Any], cards: list[str] | None = None) -> Iterator[Finding]:
    """The devices for `--device`, and whether the build of PyTorch can use them. `cards`: GPUs that the driver lists."""
    cards = nvidia_gpus() if cards is None else cards
    torch = steps.get("torch", {})
    usable = ["cpu", *(f"cuda:{number}" for number in range(len(torch.get("gpus", ()))))]
    usable += ["mps"] if torch.get("mps") else []
    shown = [f"{one['name']}, {gigabytes(one['memory'])}" for one in torch.get("gpus", ())]
    text = f"--device {', '.join(usable)}{': ' if shown else ''}{'; '.join(shown)}"
    yield fine("devices", text, devices=usable, gpus=torch.get("gpus", []), driver_lists=cards)
    if "version" in torch:
        yield from _build(torch, cards)


def _build(torch: Mapping[str, Any], cards: list[str]) -> Iterator[Finding]:
    """Whether the build of PyTorch is the one for this machine."""
    version, cuda = torch["version"], torch["cuda"]
    other = "choose the other build on https://pytorch.org/get-started/locally"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield fine("torch", f"PyTorch {version}, {f'built for CUDA {cuda}' if cuda else 'built for the CPU'}.", **torch)
    if cards and cuda and not torch["usable"]:
        if hidden is not None:
            yield note("torch", "CUDA_VISIBLE_DEVICES hides the GPUs.", "unset CUDA_VISIBLE_DEVICES")
        else:
            text = f"The driver lists {printable(cards[0])}, but PyTorch for CUDA {cuda} cannot use it."
            yield wrong("torch", text, f"update the driver, or {other}, for its version of CUDA")
    elif cards and not (cuda or torch["hip"]):
        text = f"This machine has {printable(cards[0])}, but this PyTorch is built for the CPU."
        yield wrong("torch", text, f"pip uninstall torch, and {other}, for CUDA")
    elif cuda and not cards and not torch["usable"]:
        text = (
            "This PyTorch is built for CUDA, and there is no GPU of NVIDIA here: it works, but takes gigabytes of disk."
        )
        yield note("torch", text, f"to free them: pip uninstall torch, and {other}, for the CPU")


def speed(steps: Mapping[str, Any]) -> Iterator[Finding]:
    """The measured speed, beside what the products of matrices let expect."""
    found = steps.get("speed")
    if found is None:
        yield fine("speed", "not measured")
        return
    if "error" in found:
        yield wrong(
            "speed",
            f"A BERT does not run: {printable(found['error'], 500)}",
            "see the lines above, or try --engine numpy",
        )
        return
    yield from judged(found)


def judged(found: Mapping[str, Any]) -> Iterator[Finding]:
    """What measured figures mean."""
    where = f"in {found['precision']} on {found['device']}"
    rate, one = found["gflops"], found["gflops_of_one_thread"]
    beside = f", {one:,.0f} with one thread" if one else ""
    values = {name: _rounded(value) for name, value in found.items()}
    yield fine("products", f"{rate:,.0f} GFLOP/s in products of matrices {where}{beside}.")
    if one and rate < _LOSS * one:
        text = f"All threads together are slower than one: {rate:,.0f} GFLOP/s, and {one:,.0f} with one."
        yield wrong("products", text, "export OMP_NUM_THREADS=1, or end other programs that use the processor")
    text = (
        f"a BERT-base computes about {found['tokens_per_second']:,.0f} tokens/s {where} with the engine {found['engine']}: "
        f"{found['share']:.0%} of the speed of these products"
    )
    if found["share"] > _DISTURBED:
        text += " (other programs ran meanwhile: repeat it while none does)"
    if found["share"] < _SLOW and found["device"] == "cpu":
        advice = (
            "repeat it while no other program runs; then compare the engines: bertkit bench --model DIR --data FILE"
        )
        yield note("speed", f"{text}. Expected are {_SLOW:.0%} or more.", advice, **values)
    else:
        yield fine("speed", f"{text}.", **values)


def _rounded(value: Any) -> Any:
    """A number with three digits, as more are noise."""
    if not isinstance(value, float) or not value:
        return value
    return round(value, 2 - math.floor(math.log10(abs(value))))
