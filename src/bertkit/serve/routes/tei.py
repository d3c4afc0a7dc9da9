"""The routes of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertkit.serve.http import Call, Family, inputs_of, object_of, only
from bertkit.serve.models import Model
from bertkit.serve.refusals import Refusal, invalid
from bertkit.serve.routes.endpoint import Endpoint
from bertkit.serve.server import first_error
from bertkit.tasks.embedding import unit

TEI = Family("tei", lambda refusal: {"error": refusal.message, "error_type": refusal.kind}, backend=424)

_CUT = ("truncate", "truncation_direction")
_EMBED = ("inputs", *_CUT, "prompt_name", "normalize", "dimensions")


def _texts(inputs: Any) -> list[str]:
    """The inputs as a list of texts. Lists of ids are refused."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise invalid('"inputs" must be a text or a list of texts. Ids of tokens are not accepted.')
    if not texts:
        raise Refusal(400, "Empty", '"inputs" is empty: send a text, or a list of texts.')
    return texts


def cut_options(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    """Whether long texts are truncated, as an option of a task."""
    cut = _flag(body, "truncate", call.server.settings.auto_truncate)
    if body.get("truncation_direction") not in (None, "right", "Right"):
        raise invalid('"truncation_direction" must be "right": texts are cut off at their end.')
    return {"on_long": "truncate" if cut else "error"}


def dimensions_of(body: Mapping[str, Any], width: int) -> int:
    """The requested number of values of a vector."""
    found = body.get("dimensions")
    if found is None:
        return width
    if type(found) is not int or not 0 < found <= width:
        raise invalid(f'"dimensions" must be a number from 1 to {width}.')
    return found


def shortened(vector: list[float], most: int, normalize: bool) -> list[float]:
    """The first values of a vector, again of length 1 if `normalize`."""
    if most >= len(vector):
        return vector
    first = np.array(vector[:most], np.float32)
    found: list[float] = (unit(first) if normalize else first).tolist()
    return found


def _flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    value = body.get(name)
    if not isinstance(value, (bool, type(None))):
        raise invalid(f'"{name}" must be true or false.')
    return default if value is None else value


def _prompt(body: Mapping[str, Any]) -> dict[str, Any]:
    return {} if body.get("prompt_name") is None else {"prompt_name": body["prompt_name"]}


async def embed(call: Call) -> list[list[float]]:
    """A vector for each text."""
    body = call.json()
    only(body, _EMBED)
    normalize = _flag(body, "normalize", True)
    options = {"pooling": "auto", "normalize": normalize, **cut_options(call, body), **_prompt(body)}
    pipe = call.server.models.named(None).pipe("feature-extraction")
    outcome = first_error(await call.answers(pipe, _texts(inputs_of(body)), options))
    return [shortened(one.value, dimensions_of(body, len(one.value)), normalize) for one in outcome.answers]


async def embed_all(call: Call) -> list[Any]:
    """A vector for each token of each text."""
    body = call.json()
    only(body, ("inputs", *_CUT, "prompt_name"))
    pipe = call.server.models.named(None).pipe("feature-extraction")
    options = cut_options(call, body) | _prompt(body)
    outcome = first_error(await call.answers(pipe, _texts(inputs_of(body)), options))
    return [one.value[0] for one in outcome.answers]


async def predict(call: Call) -> list[Any]:
    """The labels of a text, of a pair ["a", "b"], or of several of these as lists, with scores, the best first."""
    body = call.json()
    only(body, ("inputs", *_CUT, "raw_scores"))
    inputs = inputs_of(body)
    batch = isinstance(inputs, list) and any(isinstance(one, list) for one in inputs)
    examples = [_text_or_pair(one) for one in (inputs if batch else [inputs])]
    options = {"top_k": None, **cut_options(call, body), **_raw(body)}
    pipe = _classifier(call.server.models.named(None))
    outcome = first_error(await call.answers(pipe, examples, options))
    found = [[{"score": one["score"], "label": one["label"]} for one in answer.value] for answer in outcome.answers]
    return found if batch else found[0]


def _text_or_pair(one: Any) -> Any:
    texts = [one] if isinstance(one, str) else one
    if not isinstance(texts, list) or len(texts) not in (1, 2) or not all(isinstance(text, str) for text in texts):
        raise invalid('"inputs" must be a text, a pair ["a", "b"], or a list of [text] and pairs.')
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def _classifier(model: Model) -> Any:
    if "text-classification" not in model.pipes:
        raise Refusal(424, "Backend", f"The model {model.name} is not a classifier, which this route needs.")
    return model.pipes["text-classification"]


def _raw(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"function_to_apply": "none"} if _flag(body, "raw_scores", False) else {}


async def rerank(call: Call) -> list[dict[str, Any]]:
    """The texts in the order of how well they fit a query. Needs a classifier with one label."""
    body = call.json()
    only(body, ("query", "texts", *_CUT, "raw_scores", "return_text"))
    query, texts = inputs_of(body, "query"), _texts(inputs_of(body, "texts"))
    pipe = _classifier(call.server.models.named(None))
    if pipe.config.num_labels != 1:
        raise Refusal(424, "Backend", f"The model has {pipe.config.num_labels} labels, but a re-ranker has one.")
    if not isinstance(query, str):
        raise invalid('"query" must be a text.')
    options = {"top_k": None, **cut_options(call, body), **(_raw(body) or {"function_to_apply": "sigmoid"})}
    pairs = [{"text": query, "text_pair": text} for text in texts]
    outcome = first_error(await call.answers(pipe, pairs, options))
    shown = _flag(body, "return_text", False)
    found = [
        {"index": index, "score": answer.value[0]["score"], **({"text": texts[index]} if shown else {})}
        for index, answer in enumerate(outcome.answers)
    ]
    return sorted(found, key=lambda one: -one["score"])


async def similarity(call: Call) -> list[float]:
    """The similarity of a sentence to each of others."""
    body = call.json()
    only(body, ("inputs", "parameters"))
    parameters = object_of(body, "parameters")
    only(parameters, (*_CUT, "prompt_name"))
    inputs = inputs_of(body)
    if isinstance(inputs, dict) and isinstance(inputs.get("sentences"), list):
        most = call.server.settings.max_client_batch_size
        if len(inputs["sentences"]) > most:
            raise invalid(f"The request has {len(inputs['sentences'])} sentences, and this server accepts {most}.")
    options = {"similarity_fn_name": "cosine", **cut_options(call, parameters), **_prompt(parameters)}
    pipe = call.server.models.named(None).pipe("sentence-similarity")
    outcome = first_error(await call.answers(pipe, [inputs], options))
    found: list[float] = outcome.answers[0].value
    return found


async def tokenize(call: Call) -> list[list[dict[str, Any]]]:
    """The tokens of each text, with their ids and places."""
    body = call.json()
    only(body, ("inputs", "add_special_tokens", "prompt_name"))
    texts, special = _texts(inputs_of(body)), _flag(body, "add_special_tokens", True)
    if body.get("prompt_name") is not None:
        raise invalid('"prompt_name" has no effect on this route: put the prompt before the text.')
    tokenizer: Any = call.server.models.named(None).main.tokenizer

    def work() -> list[list[dict[str, Any]]]:
        found = tokenizer(
            texts, add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        columns = zip(texts, found["input_ids"], found["offset_mapping"], found["special_tokens_mask"], strict=True)
        return [_tokens(tokenizer, *row) for row in columns]

    return await call.server.beside(work)


def _tokens(tokenizer: Any, text: str, ids: list[int], offsets: list[Any], special: list[int]) -> list[dict[str, Any]]:
    names = tokenizer.convert_ids_to_tokens(ids)
    return [
        {
            "id": id_,
            "text": name if mark else text[start:stop],
            "special": bool(mark),
            "start": None if mark else start,
            "stop": None if mark else stop,
        }
        for id_, name, (start, stop), mark in zip(ids, names, offsets, special, strict=True)
    ]


async def decode(call: Call) -> list[str]:
    """The text of each list of ids."""
    body = call.json()
    only(body, ("ids", "skip_special_tokens"))
    ids, skip = inputs_of(body, "ids"), _flag(body, "skip_special_tokens", True)
    lists = ids if isinstance(ids, list) and ids and all(isinstance(one, list) for one in ids) else [ids]
    tokenizer: Any = call.server.models.named(None).main.tokenizer
    for one in lists:
        if not isinstance(one, list) or not all(type(id_) is int and 0 <= id_ < len(tokenizer) for id_ in one):
            raise invalid(f'"ids" must be a list of numbers from 0 to {len(tokenizer) - 1}, or a list of such lists.')
    return await call.server.beside(lambda: [tokenizer.decode(one, skip_special_tokens=skip) for one in lists])


async def info(call: Call) -> dict[str, Any]:
    """The model and the limits of the server."""
    from bertkit import __version__

    settings, model = call.server.settings, call.server.models.named(None)
    config = model.pipe("feature-extraction").config  # refuses a model that has no vectors
    labels = {"id2label": {str(number): name for number, name in config.id2label.items()}, "label2id": config.label2id}
    kinds = {True: {"reranker": labels}, False: {"classifier": labels}}
    classifies = model.task == "text-classification"
    return {
        "model_id": model.name,
        "model_sha": None,
        "model_dtype": {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}.get(
            model.main.precision, model.main.precision
        ),
        "model_type": kinds[config.num_labels == 1] if classifies else {"embedding": {"pooling": "auto"}},
        "max_concurrent_requests": settings.max_concurrent_requests,
        "max_input_length": min(settings.max_input_length, config.max_position_embeddings),
        "max_batch_tokens": call.server.queue.batch_tokens(model.main.engine),
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_client_batch_size,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": 1,
        "served_model_name": model.name,
        "version": __version__,
        "sha": None,
        "docker_label": None,
    }


ENDPOINTS = [
    Endpoint("POST", "/embed", embed, TEI),
    Endpoint("POST", "/embed_all", embed_all, TEI),
    Endpoint("POST", "/predict", predict, TEI),
    Endpoint("POST", "/rerank", rerank, TEI),
    Endpoint("POST", "/similarity", similarity, TEI),
    Endpoint("POST", "/tokenize", tokenize, TEI),
    Endpoint("POST", "/decode", decode, TEI),
    Endpoint("GET", "/info", info, TEI),
]
