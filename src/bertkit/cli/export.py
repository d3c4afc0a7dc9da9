"""`bertkit export`."""

from __future__ import annotations

from typing import Annotated, Literal

from bertkit import hub
from bertkit.arguments import Also
from bertkit.cli.job import logged_warnings, print_message
from bertkit.exporting import export as export_model
from bertkit.exporting.parity import HEADER
from bertkit.terminal import page_of_stdout, straight


def export(
    *,
    model: Annotated[str, "directory or Hub id of the model", Also("model-name-or-path")],
    out: Annotated[str, "the directory to write, which must be new or empty", Also("output-dir")],
    format: Annotated[
        Literal["onnx", "openvino", "safetensors", "savedmodel", "torchscript"], "the format to write"
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "int8"], "type of the numbers; int8 for onnx, openvino and safetensors"
    ] = "fp32",
    portable: Annotated[bool, "for onnx: standard operators only, for other runtimes than ONNX Runtime"] = False,
    shape: Annotated[str | None, "for torchscript: the only shape of the inputs, such as 1x128"] = None,
    head: Annotated[str | None, "class to export, such as ForMaskedLM (default: that of the model)"] = None,
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    data: Annotated[str | None, "file of texts to compare the models on (default: a few English sentences)"] = None,
    limit: Annotated[
        float | None, "largest accepted difference to fp32 (default: 1e-4 for fp32, none for int8)"
    ] = None,
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the model in the repository"] = "",
) -> None:
    """Write a model for another runtime, with its tokenizer, configuration and a card.

    The exported model and the original compute the outputs for some texts. If these differ too much, nothing is written.
    """
    place = hub.locate(model, revision=revision, subfolder=subfolder)
    with logged_warnings():
        found = export_model(
            place,
            out,
            format=format,
            precision=precision,
            portable=portable,
            shape=shape,
            head=head,
            tokenizer=tokenizer,
            data=data,
            limit=limit,
        )
    for path in found.files:
        print(path)
    page, rows = page_of_stdout(), [HEADER, *(one.row() for one in found.parity.differences)]
    lines = straight(rows, right=[1, 2, 3, 4], indent="")
    print("\n".join(["", page.paint(lines[0], "dim"), *lines[1:]]))
    print_message(f"compared with fp32 on {found.parity.texts:,} texts with {found.parity.tokens:,} tokens.")
