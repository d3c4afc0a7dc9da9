"""What a release holds: the wheel, the citation, and the template of bug reports."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

from bertkit import __version__
from bertkit.cli import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("hatchling") is None and not os.environ.get("CI"):
        pytest.skip("hatchling, which builds the wheel, is not installed: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "src"
    package = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    about = f"bertkit-{__version__}.dist-info"
    record = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(wheel.namelist()) == package | record
    assert {"bertkit/py.typed", "bertkit/assets/README.md", "bertkit/diagnosis/probe.py"} <= package
    hidden = {name for name in package if "/." in name}
    assert hidden == {"bertkit/serve/package/shared/.dockerignore"}  # a template
    assert not [name for name in package if name.endswith((".pyc", ".so", ".part")) or "/test" in name]
    assert wheel.getinfo("bertkit/__init__.py").file_size == (source / "bertkit" / "__init__.py").stat().st_size


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = message_from_string(wheel.read(path).decode())
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    needed = {text.split(">")[0] for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text}
    assert needed == {"numpy", "ml-dtypes", "huggingface-hub", "tokenizers", "tqdm", "packaging"}  # no framework
    assert metadata.get_payload().startswith("# bertkit\n")
    assert b"bertkit = bertkit.cli:main" in wheel.read(path.replace("METADATA", "entry_points.txt"))


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()


def test_bug_reports_have_the_output_of_the_doctor() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    fields = {part["id"]: part for part in form["body"] if part["type"] != "markdown"}
    assert "`bertkit doctor`" in fields["doctor"]["attributes"]["description"]
    assert "doctor" in COMMANDS
    assert all(field["validations"]["required"] for field in fields.values())
    assert form.keys() == {"name", "description", "labels", "body"}
