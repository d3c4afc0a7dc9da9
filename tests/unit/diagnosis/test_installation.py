"""The installed libraries, from records of pip, and the variables of Keras."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from bertkit import __version__
from bertkit.diagnosis.findings import Finding
from bertkit.diagnosis.installation import PURPOSES, packages, python, settings

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def record(folder: Path, name: str, version: str, *lines: str) -> None:
    """Write a record of an installed package, as pip does."""
    own = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    own.mkdir()
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
    (own / "METADATA").write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages before the others, with a record of bertkit as pyproject.toml has it."""
    lines = [f"Requires-Dist: {text}" for text in PROJECT["dependencies"]]
    for extra, texts in EXTRAS.items():
        lines += [f"Provides-Extra: {extra}", *(f"Requires-Dist: {of_extra(text, extra)}" for text in texts)]
    record(tmp_path, "bertkit", __version__, *lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("TF_USE_LEGACY_KERAS", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def of_extra(text: str, extra: str) -> str:
    """A requirement as it is in the record of a wheel."""
    plain, _, marker = text.partition(";")
    return f"{plain}; ({marker.strip()}) and extra == '{extra}'" if marker else f"{plain}; extra == '{extra}'"


def faults(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.status != "ok"]


def test_each_extra_has_a_purpose() -> None:
    assert PURPOSES.keys() == EXTRAS.keys() - {"all", "test", "benchmarks", "docs"}


def test_this_environment(site: Path) -> None:
    found = list(packages())
    assert faults(found) == []
    by_name = {one.name: one for one in found}
    assert {f"[{extra}]" for extra in PURPOSES} <= by_name.keys()
    assert by_name["required"].values["versions"]["numpy"]
    assert by_name["[torch]"].values["state"] == "installed"
    assert by_name["[train]"].values["versions"].keys() == {"torch", "matplotlib"}  # [train] has [torch] in it
    assert next(iter(python())).values["bertkit"] == __version__


def test_a_library_that_is_too_old(site: Path) -> None:
    record(site, "torch", "1.13.1")
    (fault,) = [one for one in faults(list(packages())) if one.name == "torch"]  # once, though two extras need it
    assert fault.text.startswith("torch 1.13.1 is installed, but bertkit")
    assert fault.remedy == 'pip install "torch>=2.4"'


def test_keras_2(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(site, "keras", "2.15.0")
    assert [(one.name, one.remedy) for one in faults(list(packages()))] == [("keras", 'pip install "keras>=3.6"')]
    record(site, "tensorflow", "2.18.0")
    assert list(settings()) == []
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    legacy, backend = settings()
    assert (legacy.status, legacy.remedy) == ("wrong", "unset TF_USE_LEGACY_KERAS")
    assert (backend.status, backend.remedy) == ("note", "unset KERAS_BACKEND")


def test_a_module_of_the_same_name_hides_a_library(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)  # as in a new process
    (site / "tqdm.py").write_text("")
    (fault,) = faults(list(packages()))
    assert fault.name == "tqdm"
    assert str(site / "tqdm.py") in fault.remedy


def test_a_record_without_its_module(site: Path) -> None:
    record(site, "ray", "2.60.0")
    record(site, "openvino", "2099.1")
    (site / "openvino").mkdir()  # a folder without a module hides nothing
    names = [one.name for one in faults(list(packages())) if "the module" in one.text]
    assert set(names) <= {"ray"}  # none if Ray is installed


def test_a_library_that_is_required_but_absent(site: Path) -> None:
    own = next(site.glob("bertkit-*")) / "METADATA"
    own.write_text(own.read_text() + "Requires-Dist: no-such-package-of-bertkit>=3\nRequires-Dist: numpy>=999\n")
    found = {one.name: one.remedy for one in faults(list(packages()))}
    assert found == {
        "no-such-package-of-bertkit": 'pip install "no-such-package-of-bertkit>=3"',
        "numpy": 'pip install "numpy>=999"',
    }


def test_records_of_another_state(site: Path) -> None:
    own = next(site.glob("bertkit-*")) / "METADATA"
    own.write_text(own.read_text().replace("Provides-Extra: ray\n", ""))
    (fault,) = faults(list(packages()))
    assert "lacks [ray]" in fault.text
    (missing,) = packages("no-such-package-of-bertkit")
    assert missing.status == "note"
