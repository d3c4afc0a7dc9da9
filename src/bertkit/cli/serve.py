"""`bertkit serve`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Literal

from bertkit.cli.signature import parser_of
from bertkit.errors import MissingExtraError, UsageError

_CONTAINERS = {"HF_TASK": "--task", "SAGEMAKER_BIND_TO_PORT": "--port"}
"""Variables of the containers of Hugging Face and SageMaker."""

_REPEATED = ("model", "cors_allow_origin")
"""Options that are read from the environment only if they are not typed, as typed ones would be added to them."""


def words_of_environment(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the options that are set as environment variables: BERTKIT_MAX_BATCH_TOKENS for --max-batch-tokens, and so on.

    >>> words_of_environment({"BERTKIT_PORT": "80", "HF_TASK": "ner", "BERTKIT_AUTO_TRUNCATE": "true"})
    ['--task=ner', '--port=80', '--auto-truncate=true']
    """
    words = [f"{flag}={environment[name]}" for name, flag in _CONTAINERS.items() if environment.get(name)]
    for action in parser_of(serve, "serve")._actions:
        value = environment.get(f"BERTKIT_{action.dest.upper()}")
        if value and action.dest not in ("help", *_REPEATED):
            words.append(f"--{action.dest.replace('_', '-')}={value}")
    return words


def serve(
    *,
    model: Annotated[
        list[str], "directory or Hub id of a model, or NAME=DIR; may be repeated, and the first is the default"
    ] = [],  # noqa: B006
    task: Annotated[str | None, "main task of the first model (default: that of its class)"] = None,
    host: Annotated[str, "address to listen on; 0.0.0.0 is all networks"] = "127.0.0.1",
    port: Annotated[int, "port to listen on; 0 is a free one"] = 8080,
    uds: Annotated[str | None, "path of a Unix socket to listen on, instead of a port"] = None,
    workers: Annotated[int, "number of processes, which each open the models"] = 1,
    engine: Annotated[
        Literal["auto", "numpy", "torch", "keras", "flax", "onnx", "openvino"],
        "library that runs the models (default: the first of torch, openvino and onnx that is installed)",
    ] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16", "int8"], "type of the numbers in the models"] = "auto",
    device: Annotated[str | None, "cpu, cuda, cuda:1, the number of a GPU, or -1 for the CPU"] = None,
    revision: Annotated[str, "branch, tag or commit of Hub ids"] = "main",
    api_key: Annotated[
        str | None, "key that requests must have; better as BERTKIT_API_KEY, which `ps` does not show"
    ] = None,
    max_batch_tokens: Annotated[
        int | None, "maximum tokens of a batch (default: 2048 on a CPU, 16384 on a GPU and for tasks that write)"
    ] = None,
    max_concurrent_requests: Annotated[int, "requests that may wait or run; others are refused with 429"] = 512,
    max_client_batch_size: Annotated[int, "maximum inputs of a request"] = 32,
    max_input_length: Annotated[int, "maximum tokens of an input; longer ones are refused"] = 8_192,
    max_new_tokens: Annotated[int, "maximum new words for an input of a task that writes"] = 256,
    auto_truncate: Annotated[bool, "truncate long texts on the routes that refuse them otherwise"] = False,
    payload_limit: Annotated[int, "maximum bytes of the body of a request"] = 2_000_000,
    timeout: Annotated[float, "seconds in which a request must arrive, and then be answered"] = 30.0,
    drain: Annotated[int, "seconds in which requests are answered after SIGTERM"] = 25,
    cors_allow_origin: Annotated[list[str], "origin of web pages that may use the server; may be repeated"] = [],  # noqa: B006
) -> int:
    """Serve models over HTTP.

    Every task of every model has a route, and the routes of text-embeddings-inference, OpenAI's embeddings, Hugging Face and
    SageMaker answer, too. Each option can be an environment variable, such as BERTKIT_PORT. See docs/serving.md.
    """
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "serve", "serve")
    if workers < 1 or drain < 0:
        raise UsageError("--workers must be at least 1, and --drain at least 0.")
    from bertkit.serve.process import Address
    from bertkit.serve.process import serve as run
    from bertkit.serve.settings import Settings, models_of_environment, named

    origins = cors_allow_origin or os.environ.get("BERTKIT_CORS_ALLOW_ORIGIN", "").split(",")
    settings = Settings(
        models=named(model or models_of_environment()),
        task=task,
        engine=engine,
        precision=precision,
        device=device,
        revision=revision,
        api_key=api_key,
        max_batch_tokens=max_batch_tokens,
        max_concurrent_requests=max_concurrent_requests,
        max_client_batch_size=max_client_batch_size,
        max_input_length=max_input_length,
        max_new_tokens=max_new_tokens,
        auto_truncate=auto_truncate,
        payload_limit=payload_limit,
        timeout=timeout,
        cors_allow_origin=tuple(filter(None, origins)),
    )
    return run(settings, Address(host, port, uds), workers, drain)
