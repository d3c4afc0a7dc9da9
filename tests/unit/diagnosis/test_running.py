"""The process that imports libraries and measures the speed, and what its figures mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertkit.diagnosis.findings import Finding
from bertkit.diagnosis.probe import MODULES
from bertkit.diagnosis.running import devices, imports, judged, probed, speed
from bertkit.diagnosis.speed import measured

CARD = "NVIDIA A100, 81920 MiB, 550.1"
TORCH = {"version": "2.9.0", "cuda": None, "hip": None, "gpus": [], "usable": False, "mps": False, "threads": 4}
FIGURES: dict[str, Any] = {
    "engine": "torch",
    "precision": "fp32",
    "device": "cpu",
    "gflops": 123.456,
    "gflops_of_one_thread": 40.0,
    "tokens_per_second": 1234.5,
    "share": 0.8,
}


def test_figures_of_this_machine() -> None:
    found = measured(0.01)
    assert found.keys() == FIGURES.keys()
    assert found["precision"] in ("fp32", "bf16")
    assert found["gflops"] > 0.1
    assert found["tokens_per_second"] > 1
    assert found["share"] > 0
    assert next(iter(judged(found))).name == "products"


def test_figures_in_order() -> None:
    products, model = judged(FIGURES)
    assert products.text == "123 GFLOP/s in products of matrices in fp32 on cpu, 40 with one thread."
    assert "about 1,234 tokens/s" in model.text
    assert "80% of the speed of these products" in model.text
    assert model.values["gflops"] == 123  # three digits
    assert {products.status, model.status} == {"ok"}


def test_threads_that_are_slower_than_one() -> None:
    _, fault, _ = judged({**FIGURES, "gflops": 30.0})
    assert fault.status == "wrong"
    assert fault.remedy.startswith("export OMP_NUM_THREADS=1")


def test_a_model_that_is_slower_than_expected() -> None:
    *_, model = judged({**FIGURES, "share": 0.05})
    assert (model.status, "Expected are 20% or more" in model.text) == ("note", True)
    *_, disturbed = judged({**FIGURES, "share": 1.5})
    assert "repeat it while none does" in disturbed.text


def test_without_a_speed_test() -> None:
    (found,) = speed({})
    assert (found.status, found.text) == ("ok", "not measured")
    (failed,) = speed({"speed": {"error": "MemoryError: "}})
    assert failed.status == "wrong"


@pytest.mark.parametrize(
    ("torch", "cards", "status", "part"),
    [
        ({}, [], "ok", ""),
        ({}, [CARD], "wrong", "is built for the CPU"),
        ({"cuda": "12.8"}, [], "note", "there is no GPU of NVIDIA here"),
        ({"cuda": "12.8"}, [CARD], "wrong", "cannot use it"),
        ({"cuda": "12.8", "usable": True, "gpus": [{"name": "A100", "memory": 8 * 10**10}]}, [CARD], "ok", ""),
        ({"hip": "6.2", "usable": True, "gpus": [{"name": "MI300", "memory": 10**11}]}, [], "ok", ""),
        ({"mps": True}, [], "ok", ""),
    ],
)
def test_builds_of_pytorch(torch: dict[str, Any], cards: list[str], status: str, part: str) -> None:
    found = list(devices({"torch": {**TORCH, **torch}}, cards))
    assert part in found[-1].text
    assert found[-1].status == status
    assert (found[-1].remedy != "") == (status != "ok")
    assert found[0].values["devices"] == [
        "cpu",
        *(["cuda:0"] if "gpus" in torch else []),
        *(["mps"] if "mps" in torch else []),
    ]


def test_a_variable_that_hides_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = list(devices({"torch": {**TORCH, "cuda": "12.8"}}, [CARD]))
    assert (found[-1].status, found[-1].remedy) == ("note", "unset CUDA_VISIBLE_DEVICES")


def in_a_process(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """The findings where a module tqdm.py with this text comes before the real one."""
    (folder / "tqdm.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return [one for one in imports(probed(0)) if one.status != "ok"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("raise ValueError('broken here')", "ValueError: broken here"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process was ended by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "instructions that this processor lacks"),
        (
            "import os, sys; print('the last words', file=sys.stderr, flush=True); os._exit(3)",
            "exit code 3. the last words",
        ),
    ],
)
def test_a_library_that_breaks_its_process(
    text: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("")  # imported quickly, and not the subject
    (fault, *_) = in_a_process(tmp_path, text, monkeypatch)
    assert fault.name == "tqdm"
    assert part in fault.text
    assert fault.remedy == "pip install --force-reinstall tqdm"


def test_the_modules_that_are_imported_are_those_that_are_required() -> None:
    from bertkit.diagnosis.installation import packages

    required = next(one for one in packages() if one.name == "required").values["versions"]
    assert {name.replace("-", "_").lower() for name in required} - {"packaging"} == set(MODULES)
