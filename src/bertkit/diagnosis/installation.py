"""The installation: Python, the libraries that bertkit requires, its extras, and settings of libraries that get in the way.

Nothing is imported here: versions are read from the records of pip.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from bertkit import __version__
from bertkit.diagnosis.findings import Finding, fine, note, wrong

PURPOSES = {
    "torch": "the PyTorch classes, training, and the engine for many texts",
    "tf": "the TensorFlow classes and TFBertTokenizer",
    "flax": "the Flax classes",
    "onnx": "export to ONNX, and the engine onnx",
    "openvino": "the engine openvino",
    "h5": "writing tf_model.h5",
    "ray": "a pipeline as a class for Ray Data",
    "serve": "the server",
    "train": "pictures of training and measurements",
}
"""Extra -> what it is for."""

_OTHER_BUILDS = {
    "tensorflow": ("tensorflow-cpu", "tensorflow-macos", "tensorflow-intel", "tf-nightly"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
}
"""Packages that install the same module."""

_TRUE = ("1", "true")


def python() -> Iterator[Finding]:
    """The versions of bertkit and Python, and the place of bertkit."""
    place = Path(__file__).parents[1]
    text = f"bertkit {__version__} in {place}, Python {platform.python_version()}, {platform.platform()}"
    values = {"bertkit": __version__, "python": platform.python_version(), "platform": platform.platform()}
    yield fine("python", text, executable=sys.executable, **values)
    if sys.maxsize < 2**32:
        yield wrong("python", "This Python has 32 bits, for which there is no PyTorch.", "install a Python of 64 bits")


@dataclass(frozen=True)
class Package:
    """A required library, as it is installed."""

    requirement: Requirement
    record: Distribution | None  # of pip

    @property
    def name(self) -> str:
        """The name of the installed package, or that of the required one."""
        return str(self.record.metadata["Name"]) if self.record else self.requirement.name

    @property
    def wanted(self) -> str:
        """The requirement as it is typed, such as torch>=2.4."""
        return f"{self.requirement.name}{self.requirement.specifier}"

    def fault(self) -> Finding | None:
        """What is wrong with it. None: nothing, or it is not installed."""
        if self.record is None:
            return None
        version, module = self.record.version, self.requirement.name.replace("-", "_")
        if not self.requirement.specifier.contains(version, prereleases=True):
            text = f"{self.name} {version} is installed, but bertkit {__version__} needs {self.wanted}."
            return wrong(self.name, text, f'pip install "{self.wanted}"')
        spec = find_spec(module)
        if spec is None:
            text = f"pip has a record of {self.name} {version}, but the module {module} is not there."
            return wrong(self.name, text, f"pip install --force-reinstall {self.name}")
        origin, home = Path(spec.origin or "."), Path(str(self.record.locate_file("")))
        editable = self.record.read_text("direct_url.json") is not None
        if spec.origin and not editable and not origin.resolve().is_relative_to(home.resolve()):
            text = f"{origin} is imported instead of {self.name} {version}, which is in {home}."
            return wrong(self.name, text, f"rename {origin}, or remove its folder from PYTHONPATH")
        return None


def packages(name: str = "bertkit") -> Iterator[Finding]:
    """The required libraries, and the extras."""
    try:
        record = distribution(name)
    except PackageNotFoundError:
        text = f"pip has no record of {name}, so the versions that it needs are unknown."
        yield note(name, text, "install it with pip: pip install . in its folder")
        return
    texts = record.requires or []
    required = _required(texts, "")
    faults = [fault for package in required if (fault := package.fault())]
    missing = [package for package in required if package.record is None]
    yield fine("required", _versions(required), versions=_as_data(required))
    for package in missing:
        yield wrong(package.name, f"{package.name} is not installed.", f'pip install "{package.wanted}"')
    known = record.metadata.get_all("Provides-Extra") or []
    unknown = [f"[{extra}]" for extra in PURPOSES if extra not in known]
    if record.version != __version__ or unknown:
        lacks = f" lacks {', '.join(unknown)}, and" if unknown else ""
        text = f"pip's record of {name} {record.version}{lacks} is not of the same state as the files of {__version__}."
        yield note(name, text, "install it again: pip install . in its folder")
    for extra in sorted(PURPOSES.keys() & set(known), key=list(PURPOSES).index):
        own = _required(texts, extra)
        faults += [fault for package in own if (fault := package.fault()) and fault not in faults]
        yield _of_extra(extra, own)
    yield from faults


def _required(texts: list[str], extra: str) -> list[Package]:
    """The requirements of an extra, also those of the extras that it names; "": those without an extra."""
    found = []
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if (marker is not None and not marker.evaluate({"extra": extra})) or (extra and marker is None):
            continue
        if requirement.name == "bertkit":
            found += [package for inner in sorted(requirement.extras) for package in _required(texts, inner)]
        else:
            found.append(Package(requirement, _record(requirement.name)))
    return found


def _record(name: str) -> Distribution | None:
    for build in (name, *_OTHER_BUILDS.get(name, ())):
        try:
            return distribution(build)
        except PackageNotFoundError:
            continue
    return None


def _of_extra(extra: str, own: list[Package]) -> Finding:
    present = [package for package in own if package.record]
    absent = [package.name for package in own if not package.record]
    purpose, typed = PURPOSES[extra], f'pip install "bertkit[{extra}]"'
    state = "installed" if not absent else "partly installed" if present else "not installed"
    values = {"state": state, "versions": _as_data(own), "for": purpose}
    if not absent:
        return fine(f"[{extra}]", f"{_versions(own)}: {purpose}", **values)
    have = f"{_versions(present)}, without {', '.join(absent)}" if present else "not installed"
    return fine(f"[{extra}]", f"{have}: {purpose}. To install it: {typed}", **values)


def _versions(some: list[Package]) -> str:
    return ", ".join(f"{package.name} {package.record.version}" for package in some if package.record)


def _as_data(some: list[Package]) -> Mapping[str, Any]:
    return {package.name: package.record.version if package.record else None for package in some}


def settings() -> Iterator[Finding]:
    """Settings of TensorFlow and Keras with which bertkit's TensorFlow classes do not run."""
    if _record("tensorflow") is None:
        return
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in _TRUE:
        text = "TF_USE_LEGACY_KERAS selects Keras 2, and bertkit's TensorFlow classes need Keras 3."
        yield wrong("keras", text, "unset TF_USE_LEGACY_KERAS")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        text = "KERAS_BACKEND selects another backend than TensorFlow, for which bertkit's TensorFlow classes are made."
        yield note("keras", text, "unset KERAS_BACKEND")
