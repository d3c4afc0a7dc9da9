"""`bertkit package`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bertkit.cli.job import print_message
from bertkit.serve.package import ImageEngine, Target
from bertkit.serve.package import package as write_package


def package(
    folder: Annotated[str, "the directory to write"],
    *,
    target: Annotated[Target, "where the model will run"],
    model: Annotated[str | None, "directory of the model, which is copied (default: you put it there later)"] = None,
    name: Annotated[str | None, "name of the model in requests (default: that of its directory)"] = None,
    task: Annotated[str | None, "main task of the model (default: that of its class)"] = None,
    engine: Annotated[ImageEngine, "the engine in the image"] = "onnx",
    overwrite: Annotated[bool, "replace the files of an earlier package; other files are kept"] = False,
) -> None:
    """Write a directory from which an image of the server is built.

    It has a Dockerfile, a page that says how to build and start the image, and what the target needs: a Compose file for
    docker, a Terraform module and an inference.py for sagemaker. See docs/serving.md.
    """
    for path in write_package(folder, target, model, name, task, engine, overwrite):
        print(path)
    if not Path(folder, "model").exists():
        print_message(f"put the files of the model into {folder}/model.")
