"""Folders from which images are built: `bertkit package`.

The folder of a target has its files, with `{{name}}` in place of a value. All targets have those of `shared`, too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from bertkit.errors import Setting, UsageError, one_of, received
from bertkit.hub.disk import whole_file, whole_folder
from bertkit.tasks import task_class

Target = Literal["docker", "sagemaker", "lambda"]
ImageEngine = Literal["onnx", "torch"]

TARGETS: tuple[Target, ...] = ("docker", "sagemaker", "lambda")
ENGINES: tuple[ImageEngine, ...] = ("onnx", "torch")

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names that mean themselves in a Dockerfile, YAML, HCL, Markdown and a shell."""

_VALUE = re.compile(r"\{\{(\w+)\}\}")


def package(
    folder: str | os.PathLike[str],
    target: Target,
    model: str | os.PathLike[str] | None = None,
    name: str | None = None,
    task: str | None = None,
    engine: ImageEngine = "onnx",
    overwrite: bool = False,
) -> list[Path]:
    """Write a folder from which an image is built. Return its files, without those of the model.

    Args:
        folder: the folder to write.
        target: "docker", "sagemaker" or "lambda".
        model: the folder of the model, which is copied to `model`; None: its files are put there later.
        name: the name of the model in requests; None: that of its folder.
        task: the main task of the model; None: that of its class.
        engine: the engine in the image, "onnx" or "torch".
        overwrite: replace the files of an earlier package. Other files are kept.
    """
    one_of("target", target, TARGETS)
    one_of("engine", engine, ENGINES)
    into, source = Path(folder), _checked_model(model)
    values = _values(_checked_name(name, source), task, engine)
    texts = {path: _filled(text, values) for path, text in _templates(target).items()}
    _check_folder(into, overwrite)
    for path, text in texts.items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(into / path) as file:
            file.write(text.encode())
    if source is not None:
        _copy_model(source, into / "model")
    return [into / path for path in texts]


def _values(name: str, task: str | None, engine: str) -> dict[str, str]:
    """The values in the files. Each is checked to contain nothing that has a meaning there."""
    from bertkit import __version__

    return {
        "build": (_FOLDER / "shared" / "build").read_text("utf-8").rstrip(),
        "name": name,
        "endpoint": "bertkit-" + re.sub("[^A-Za-z0-9]+", "-", name[:50]).strip("-"),  # names of AWS have no dots
        "task": "" if task is None else task_class(task).name,
        "engine": engine,
        "version": __version__,
    }


def _templates(target: str) -> dict[Path, str]:
    """The files of a target: path in the folder -> text."""
    own = [path for path in (_FOLDER / target).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    found = {path.relative_to(_FOLDER / target): path.read_text("utf-8") for path in sorted(own)}
    shared = [_FOLDER / "shared" / name for name in (".dockerignore", "requirements.txt")]
    return found | {Path(path.name): path.read_text("utf-8") for path in shared}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its values. A value is not read again."""
    return _VALUE.sub(lambda found: values[found[1]], text)


def _checked_model(model: str | os.PathLike[str] | None) -> Path | None:
    """The folder of a model."""
    if model is None:
        return None
    path = Path(model)
    if not path.is_dir():
        raise UsageError(
            received("model", os.fspath(model)),
            f" is not a directory. If it is a Hub id, write it to one first: bertkit convert {os.fspath(model)!r:.80} my-model.",
        )
    if not (path / "config.json").is_file():
        raise UsageError(received("model", os.fspath(model)), " has no config.json: type the directory of a model.")
    return path.resolve()


def _checked_name(name: str | None, model: Path | None) -> str:
    found = name if name is not None else "model" if model is None else model.name
    if not _NAME.fullmatch(found):
        raise UsageError(
            received("name", found),
            " must be at most 63 letters, digits, dots, hyphens and underscores of ASCII: type for example ",
            Setting("name", "films"), ".",
        )  # fmt: skip
    return found


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Raise UsageError for a file, or for a folder with files that were not to be replaced."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a directory: type another name.")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} has files already: type another directory, or ", Setting("overwrite", True), ".")


def _copy_model(source: Path, target: Path) -> None:
    """Copy a model, so that any user may read it. A model that is there already is replaced after the copy is complete."""
    if target.exists() and target.samefile(source):
        return
    package = target.parent.resolve()
    with whole_folder(target) as made:
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.is_relative_to(package):
                own = made / path.relative_to(source)
                own.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, own)
        for path in (made, *made.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if target.is_dir():
            shutil.rmtree(target)
