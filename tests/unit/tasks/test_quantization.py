"""Vectors in fewer bits: the results of sentence-transformers 6.2.0, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bertkit import quantize_embeddings
from bertkit.errors import UsageError

VECTORS = np.array([[0.5, -1.0, 0.25, 2.0], [-0.5, 1.0, 0.25, 0.0], [0.1, 0.3, 0.25, -3.0]], np.float32)
OTHERS = np.array([[-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]], np.float32)
RECORDED = {  # precision -> the results for VECTORS
    "int8": [[126, -128, -128, 126], [-128, 126, -128, 25], [25, 37, -128, -128]],
    "uint8": [[254, 0, 0, 254], [0, 254, 0, 153], [153, 165, 0, 0]],
    "binary": [[48], [-32], [96]],
    "ubinary": [[176], [96], [224]],
}


@pytest.mark.parametrize("precision", RECORDED)
def test_results_are_those_of_sentence_transformers(precision: Any) -> None:
    found = quantize_embeddings(VECTORS, precision)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == RECORDED[precision]
    assert found.dtype == (np.uint8 if precision.startswith("u") else np.int8)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "uint8", "binary", "ubinary"])
def test_all_forms_of_vectors_have_the_same_result(precision: Any) -> None:
    expected = quantize_embeddings(VECTORS, precision, calibration_embeddings=OTHERS)
    for given in (torch.from_numpy(VECTORS), list(VECTORS), VECTORS.tolist(), VECTORS.astype(np.float64)):
        np.testing.assert_array_equal(quantize_embeddings(given, precision, OTHERS), expected)
    matrices = quantize_embeddings([VECTORS[:1], VECTORS[1:]], precision, ranges=OTHERS)
    np.testing.assert_array_equal(np.concatenate(matrices), expected)
    np.testing.assert_array_equal(quantize_embeddings(VECTORS[0], precision, OTHERS), expected[0])
    none = quantize_embeddings(VECTORS[:0], precision)
    assert isinstance(none, np.ndarray) and none.shape == (0, len(expected[0])) and none.dtype == expected.dtype
    assert quantize_embeddings([], precision) == []


def test_a_tensor_of_bfloat16() -> None:
    given = torch.from_numpy(VECTORS).bfloat16()
    np.testing.assert_array_equal(quantize_embeddings(given, "int8"), quantize_embeddings(given.float(), "int8"))


def test_few_vectors_have_uncertain_ranges(caplog: pytest.LogCaptureFixture) -> None:
    quantize_embeddings(VECTORS, "int8")
    assert "The ranges for int8 are those of only 3 vectors." in caplog.text
    for one in (VECTORS[0], VECTORS[:1]):
        with pytest.raises(
            UsageError, match=r"needs the ranges of several vectors, not of one: pass ranges=\.\.\., or"
        ):
            quantize_embeddings(one, "uint8")


def test_invalid_arguments() -> None:
    with pytest.raises(UsageError, match="precision='int4' is invalid: choose one of"):
        quantize_embeddings(VECTORS, "int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="are int8 already"):
        quantize_embeddings(VECTORS.astype(np.int8), "binary")
