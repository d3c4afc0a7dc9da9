"""The OpenVINO graphs compute what the reference computes, padding included, for every head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from graph_cases import SETTINGS, inputs

from bertkit import reference
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.graphs import openvino_file
from bertkit.graphs.openvino import exported_graph, save
from bertkit.graphs.openvino_file import DATA, FILE, read_exported
from bertkit.graphs.openvino_runtime import core, ov
from bertkit.heads import HEADS
from bertkit.hub import locate


def run(graph: Any, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    found = compiled.create_infer_request().infer(given)
    return {output.any_name: found[output] for output in compiled.outputs}


def assert_like_the_reference(head: str, int8: bool = False, atol: float = 1e-5, **of_config: Any) -> None:
    config = tiny.config(**of_config)
    p, given = tiny.trained(config, head, 0.25), inputs(head)
    wanted = reference.forward(config, p, head, **given)
    found = run(exported_graph(config, head, p, int8), given)
    assert list(found) == list(HEADS[head].outputs)
    for name, array in found.items():
        assert array.shape == wanted[name].shape and array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[name], rtol=0 if int8 else 1e-5, atol=atol, err_msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_every_head(head: str) -> None:
    assert_like_the_reference(head)


@pytest.mark.parametrize("of_config", SETTINGS, ids=str)
def test_every_setting(of_config: dict[str, Any]) -> None:
    assert_like_the_reference("ForMaskedLM", **of_config)


@pytest.mark.parametrize("of_config", [{}, {"is_decoder": True}, {"pruned_heads": {1: [0]}}], ids=str)
def test_int8_is_close(of_config: dict[str, Any]) -> None:
    assert_like_the_reference("ForMaskedLM", int8=True, atol=0.05, **of_config)


def test_the_layers_are_stored_as_int8_and_the_rest_is_not() -> None:
    config = tiny.config()
    graph = exported_graph(config, "ForMaskedLM", tiny.trained(config, "ForMaskedLM", 0.25), int8=True)
    names = {node.get_friendly_name() for node in graph.get_ops() if node.get_element_type() == ov.Type.i8}
    layers = {f"{name}.int8" for name in tiny.trained(config, "ForMaskedLM", 0.25) if name.endswith(".weight")}
    assert names == {name for name in layers if ".layer." in name and "LayerNorm" not in name}
    assert len(names) == 6 * config.num_hidden_layers


def test_files(tmp_path: Path) -> None:
    """A model in files runs in OpenVINO alone as in bertkit, and is replaced as a whole."""
    config, given = tiny.config(), inputs("Model")
    (tmp_path / FILE).write_text("an older file", "utf-8")
    graph = exported_graph(config, "Model", tiny.trained(config, "Model", 0.25))
    wanted = run(graph, given)
    assert [path.name for path in save(graph, tmp_path)] == [DATA, FILE]
    assert sorted(path.name for path in tmp_path.iterdir()) == [DATA, FILE]
    alone = core().read_model(tmp_path / FILE)
    text, arrays = read_exported(locate(tmp_path))
    memory = ov.Tensor(np.frombuffer(arrays, np.uint8), shared_memory=True)  # is used until `own` has run
    own = core().read_model(text, memory)
    for one in (alone, own):
        assert [given.any_name for given in one.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
        for name, array in run(one, given).items():
            assert np.array_equal(array, wanted[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("openvino"), tiny.config()
    save(exported_graph(config, "Model", tiny.trained(config, "Model", 0.25)), folder)
    return folder


def changed(whole: Path, folder: Path, old: str, new: str) -> Path:
    text = (whole / FILE).read_text("utf-8")
    assert old in text
    (folder / FILE).write_text(text.replace(old, new, 1), "utf-8")
    (folder / DATA).write_bytes((whole / DATA).read_bytes())
    return folder


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("<net ", '<!DOCTYPE net [<!ENTITY a "a">]><net ', UnsafeFileError, "has a DOCTYPE"),
        ('type="MVN"', 'type="Loop"', UnsafeFileError, "a node Loop, which a BERT does not need"),
        ('type="MVN"', 'type="&#76;oop"', UnsafeFileError, "a node Loop, which a BERT does not need"),
        ('offset="0"', 'offset="9999999"', FileFormatError, "an array at byte '9999999' .* damaged"),
        ('offset="0"', 'offset="-8"', FileFormatError, "an array at byte '-8' .* damaged"),
        ("</net>", "", FileFormatError, "is damaged"),
    ],
)
def test_unsafe_and_damaged_files(
    old: str, new: str, error: type[Exception], message: str, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        read_exported(locate(changed(whole, tmp_path, old, new)))


def test_the_size_of_a_text_is_limited(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_file, "_MOST_ELEMENTS", 100)
    with pytest.raises(UnsafeFileError, match="has more than 100 elements"):
        read_exported(locate(whole))
    monkeypatch.setattr(openvino_file, "_MOST_BYTES", 1000)
    with pytest.raises(UnsafeFileError, match="reads up to 1,000 of such a file"):
        read_exported(locate(whole))


def test_random_damage_raises_errors_of_bertkit(whole: Path, tmp_path: Path) -> None:
    text, rng = (whole / FILE).read_bytes(), np.random.default_rng(0)
    (tmp_path / DATA).write_bytes((whole / DATA).read_bytes())
    refused = 0
    for _ in range(100):
        damaged = bytearray(text)
        for at in rng.integers(0, len(text), 3):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / FILE).write_bytes(damaged[: rng.integers(1, len(text) + 1)])
        try:
            read_exported(locate(tmp_path))
        except FileFormatError:
            refused += 1
    assert refused > 90


@pytest.mark.parametrize("beyond", [2**61, 2**62])
def test_a_shape_of_another_size_than_its_bytes(beyond: int, tmp_path: Path) -> None:
    """OpenVINO computes sizes modulo 2**64, and would read outside of the file."""
    config = tiny.config()
    save(exported_graph(config, "Model", tiny.trained(config, "Model", 0.25)), tmp_path)
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    first = re.search(r'element_type="f32" shape="(\d+)', text)
    assert first
    for wrong in (int(first[1]) + beyond, int(first[1]) + 1):
        changed = text[: first.start(1)] + str(wrong) + text[first.end(1) :]
        (tmp_path / FILE).write_text(changed, encoding="utf-8")
        with pytest.raises(
            FileFormatError, match=r"has an array of the type .f32. and the shape .* bytes: it is damaged"
        ):
            read_exported(locate(tmp_path))
