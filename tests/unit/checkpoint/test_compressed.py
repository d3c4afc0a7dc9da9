"""Matrices of int8 with scales are read as their product, by every reader of checkpoints, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from bertkit.checkpoint import load_checkpoint, safetensors_file, save_checkpoint
from bertkit.checkpoint.compressed import compress
from bertkit.errors import FileFormatError, LoadError

QUERY = "bert.encoder.layer.0.attention.self.query.weight"


def saved(folder: Path, change: Any = None, **options: Any) -> dict[str, np.ndarray]:
    """Save a tiny model in int8, changed by a function. Returns its float32 tensors."""
    config = tiny.config()
    tensors = tiny.trained(config, "ForMaskedLM")
    save_checkpoint(folder, tensors, config, "ForMaskedLM", **options)
    names = [name for name in tensors if ".layer." in name and name.endswith("dense.weight")] + [QUERY]
    stored = compress(tensors, names)
    assert stored[QUERY].dtype == np.int8 and stored[QUERY + "_scale"].shape == (len(stored[QUERY]), 1)
    if change is not None:
        change(stored)
    safetensors_file.write(folder / "model.safetensors", stored)
    return tensors


def test_the_product_is_read(tmp_path: Path) -> None:
    wanted = saved(tmp_path)
    found, report = load_checkpoint(tmp_path)
    assert report.exact and report.loaded == tuple(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == np.float32 and not found[name].flags.writeable
        step = np.abs(array).max() / 127 if np.any(found[name] != array) else 0
        np.testing.assert_allclose(found[name], array, rtol=0, atol=step * 0.51)
    assert np.any(found[QUERY] != wanted[QUERY])


@pytest.mark.parametrize("shape", [(1,), (), (1, 1)])
def test_one_scale_for_a_matrix(shape: tuple[int, ...], tmp_path: Path) -> None:
    def change(stored: Any) -> None:
        stored[QUERY + "_scale"] = np.full(shape, 0.5, np.float16)

    saved(tmp_path, change)
    stored = safetensors_file.read(tmp_path / "model.safetensors")
    assert np.array_equal(load_checkpoint(tmp_path)[0][QUERY], stored[QUERY] * np.float32(0.5))


def put(name: str, array: Any) -> Any:
    return lambda stored: stored.update({name: array})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(QUERY + "_scale", np.ones((8, 2), np.float32)), r"scales of float32 and the shape \[8, 2\], .* \[8, 1\]"),
        (put(QUERY + "_scale", np.ones((4, 1), np.float32)), r"the shape \[4, 1\]"),
        (put(QUERY + "_scale", np.ones((8, 1), np.int32)), "scales of int32"),
        (put(QUERY + "_scale", np.full((8, 1), np.nan, np.float32)), "scales that are not numbers"),
        (put(QUERY + "_zero_point", np.ones((8, 1), np.int8)), "in a format that bertkit does not read. It reads int8"),
        (put(QUERY + "_packed", np.ones((8, 1), np.int32)), "in a format that bertkit does not read"),
    ],
)
def test_other_formats_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    saved(tmp_path, change)
    with pytest.raises(FileFormatError, match=message):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", [QUERY, "x.weight"])
def test_scales_without_an_int8_matrix_are_unexpected(name: str, tmp_path: Path) -> None:
    """As other tensors that no class has, they do not keep the rest from loading."""
    saved(
        tmp_path,
        lambda stored: stored.update({name: np.ones((8, 8), np.float32), f"{name}_scale": np.ones((8, 1), np.float32)}),
    )
    with pytest.raises(LoadError, match=f"unexpected: .*{name}_scale"):
        load_checkpoint(tmp_path)
    tensors, report = load_checkpoint(tmp_path, strict=False)
    assert f"{name}_scale" in report.unexpected and (tensors[QUERY] == 1).all() == (name == QUERY)


def test_integers_without_scales_and_matrices_of_another_shape(tmp_path: Path) -> None:
    def cut(stored: Any) -> None:
        stored[QUERY], stored[QUERY + "_scale"] = stored[QUERY][:4], stored[QUERY + "_scale"][:4]

    saved(tmp_path, cut)
    with pytest.raises(LoadError, match=r"query.weight \[4, 8\], expected \[8, 8\]"):
        load_checkpoint(tmp_path)
    saved(tmp_path, lambda stored: stored.pop(QUERY + "_scale"))
    with pytest.raises(LoadError, match="is of dtype int8, but weights must be"):
        load_checkpoint(tmp_path)
