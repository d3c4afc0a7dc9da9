"""What is public stays: a name, a method or an argument is only ever added."""

from __future__ import annotations

from pathlib import Path

import pytest
from public_api import listing

RECORDED = {
    name: parameters
    for name, *parameters in (
        line.split("\t")
        for line in (Path(__file__).parents[1] / "data" / "public_api.txt").read_text(encoding="utf-8").splitlines()
    )
}
HERE = listing()


@pytest.mark.parametrize("name", RECORDED)
def test_what_was_public_is_public(name: str) -> None:
    assert name in HERE, f"{name} is gone"
    recorded, here = RECORDED[name], HERE[name]
    assert [parameter for parameter in here if parameter in recorded] == recorded, f"{name}{here}"
    added = [parameter for parameter in here if parameter not in recorded]
    assert all("=" in parameter or parameter.startswith("*") for parameter in added), f"{name} wants {added}"
