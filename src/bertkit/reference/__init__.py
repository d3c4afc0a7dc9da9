"""BERT in plain NumPy: the forward pass and the losses of all nine classes, from the smallest step to the whole.

Read this file first. Every faster implementation is compared with it. Parameters p are {name in the table of
`parameters.py`: array}, as `load_checkpoint` returns them. A matrix is [out, in]. In comments:

    B sequences   L tokens in each   H hidden width   N heads   D = H/N width of a head   V vocabulary   C labels
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.heads import HEADS, POOLER, head_of
from bertkit.parameters import expand, kept_heads
from bertkit.reference.inputs import ReferenceInputs
from bertkit.tensors import Array

Arrays = Mapping[str, Array]
Pair = tuple[Array, Array]


# An activation is x (1 + tanh(x P(x²))) / 2. NumPy has no erf: _ERF is a polynomial P that is within 7e-8 of exact GELU.
_ERF = (1.80558792e-09, -1.33445249e-07, 3.96909228e-06, -5.52400429e-05, -3.3130354e-05, 0.036334284, 0.797884216)
_TANH = (0.7978845608 * 0.044715, 0.7978845608)
_GATES = {"gelu": _ERF, "gelu_new": _TANH, "gelu_pytorch_tanh": _TANH, "silu": (0.5,), "swish": (0.5,)}


def linear(p: Arrays, name: str, x: Array, bias: str = "") -> Array:
    """The product with a matrix, plus a bias: one product for all sequences, which is faster than one for each."""
    y: Array = x.reshape(-1, x.shape[-1]) @ p[name + ".weight"].T
    y += p[bias or name + ".bias"]
    return y.reshape(*x.shape[:-1], y.shape[-1])


def activate(name: str, x: Array) -> Array:
    """Apply one of `config.ACTIVATIONS` to each number.

    >>> activate("gelu", np.array([-1.0, 0.0, 1.0])).round(4).tolist()
    [-0.1587, 0.0, 0.8413]
    """
    if name not in _GATES:
        return np.tanh(x) if name == "tanh" else np.maximum(x, 0)
    square = np.minimum(x * x, 30.25)  # P is valid up to 5.5; above that, GELU(x) = x in float32
    y = np.full_like(x, _GATES[name][0])
    for coefficient in _GATES[name][1:]:  # in place, since this is the largest array of a layer
        y *= square
        y += coefficient
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def norm(config: BertConfig, p: Arrays, name: str, x: Array) -> Array:
    """Layer normalization: mean 0 and variance 1 for each token, then a learned scale and shift."""
    # The rounding of a mean in float32 would move all numbers of a token in the same direction.
    x = x - x.mean(-1, keepdims=True, dtype=np.float64).astype(x.dtype)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + config.layer_norm_eps)
    return np.asarray(x * p[name + ".weight"] + p[name + ".bias"])


def zeroed(x: Array, real: Array, padding: float = 0.0) -> Array:
    """Set padding to zero or another number. `real` is False at padding, and has the first dimensions of x.

    Losses are computed before this. A `padding` of -inf means the lowest number of the dtype.
    """
    filler = x.dtype.type(max(padding, np.finfo(x.dtype).min))
    return x if real.all() else np.where(real.reshape(real.shape + (1,) * (x.ndim - real.ndim)), x, filler)


def embed(config: BertConfig, p: Arrays, given: ReferenceInputs) -> Array:
    """The sum of the embeddings of words, token types and, if they are absolute, positions, normalized: [B, L, H]."""
    words, types, places = (p[f"bert.embeddings.{of}_embeddings.weight"] for of in ("word", "token_type", "position"))
    x = words[given.input_ids] if given.inputs_embeds is None else given.inputs_embeds
    x = x + types[given.token_type_ids]
    if config.position_embedding_type == "absolute":
        x += places[given.position_ids]
    return norm(config, p, "bert.embeddings.LayerNorm", x)


def attention_masks(config: BertConfig, mask: Array) -> Pair:
    """Which token attends to which, broadcast to [B, N, L, L], and which tokens are real, not padding, [B, L]."""
    if mask.ndim == 3:  # [B, L, L] is used unchanged, by decoders too, and does not mark padding
        return mask[:, None], np.ones(mask.shape[:2], bool)
    earlier = (
        np.tri(mask.shape[1], dtype=bool) if config.is_decoder else True
    )  # in a decoder, only itself and earlier ones
    return mask[:, None, None] & earlier, mask


def attend(config: BertConfig, p: Arrays, name: str, x: Array, source: Array, mask: Array, factors: Array) -> Pair:
    """Each token of x attends to the tokens of `source`: the new states [B, L, H] and the probabilities [B, N, L, K]."""
    length, kind = x.shape[1], config.position_embedding_type
    width = len(p[name + ".self.query.bias"])  # D times the heads that are not pruned
    q, k, v = (
        linear(p, f"{name}.self.{part}", of).reshape(*of.shape[:2], len(factors), width // len(factors)).swapaxes(1, 2)
        for part, of in (("query", x), ("key", source), ("value", source))
    )  # [B, N, L or K, D]
    scores = q @ k.swapaxes(2, 3)  # [B, N, L, K]
    if kind != "absolute" and x is source:
        distances = np.subtract.outer(np.arange(length), np.arange(length)) + config.max_position_embeddings - 1
        between = p[name + ".self.distance_embedding.weight"][distances]  # [L, L, D]
        scores += np.einsum("bnqd,qkd->bnqk", q, between)
        if kind == "relative_key_query":
            scores += np.einsum("bnkd,qkd->bnqk", k, between)
    scores *= q.shape[-1] ** -0.5
    np.copyto(scores, np.finfo(scores.dtype).min / 2, where=~mask)  # not -inf: a token without others attends to all
    probabilities = np.exp(scores - scores.max(-1, keepdims=True))
    probabilities *= factors[:, None, None] / probabilities.sum(-1, keepdims=True)
    context = (probabilities @ v).swapaxes(1, 2).reshape(*x.shape[:2], width)
    return norm(config, p, name + ".output.LayerNorm", linear(p, name + ".output.dense", context) + x), probabilities


def encode(config: BertConfig, p: Arrays, given: ReferenceInputs) -> tuple[dict[str, list[Array]], Array]:
    """The embeddings and the layers, which all classes share: outputs of each layer, and which tokens are real, [B, L]."""
    given.complete(config)
    x, source = embed(config, p, given), given.encoder_hidden_states  # [B, L, H], [B, K, H] or None
    mask, real = attention_masks(config, given.attention_mask)
    source_mask = given.encoder_attention_mask[:, None, None]  # [B, 1, 1, K]
    factors = given.head_mask.astype(x.dtype)  # [layers, N]
    run: dict[str, list[Array]] = {"hidden_states": [x], "attentions": [], "cross_attentions": []}
    for layer in range(config.num_hidden_layers):
        name, kept = f"bert.encoder.layer.{layer}.", factors[layer, kept_heads(config, layer)]
        x, probabilities = attend(config, p, name + "attention", x, x, mask, kept)
        run["attentions"].append(probabilities)
        if source is not None:
            x, probabilities = attend(config, p, name + "crossattention", x, source, source_mask, factors[layer])
            run["cross_attentions"].append(probabilities)
        inside = activate(config.hidden_act, linear(p, name + "intermediate.dense", x))  # [B, L, intermediate_size]
        x = norm(config, p, name + "output.LayerNorm", linear(p, name + "output.dense", inside) + x)
        run["hidden_states"].append(x)
    return run, real


def predict_words(config: BertConfig, p: Arrays, x: Array) -> Array:
    """A logit for each word, [..., H] -> [..., V], by the word embeddings or, if these are not tied, a separate matrix."""
    name = "cls.predictions.transform."
    x = norm(config, p, name + "LayerNorm", activate(config.hidden_act, linear(p, name + "dense", x)))
    words = "bert.embeddings.word_embeddings" if config.tie_word_embeddings else "cls.predictions.decoder"
    return linear(p, words, x, bias="cls.predictions.bias")


def pool(p: Arrays, first: Array) -> Array:
    """A vector for each sequence, [B, H], from the states of its first token, [B, H]."""
    return np.asarray(np.tanh(linear(p, "bert.pooler.dense", first)))


# The outputs of each head, by name, from the last states of tokens x, [..., H], and the pooled vectors, [B, H].


def states(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """The states themselves."""
    return {"last_hidden_state": x, "pooler_output": pooled}


def words(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """A logit for each word, [..., V]."""
    return {"logits": predict_words(config, p, x)}


def next_sentence(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """Two logits, [B, 2]: the second sentence follows the first, or not."""
    return {"logits": linear(p, "cls.seq_relationship", pooled)}


def pretraining(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """The logits of `words` and of `next_sentence`."""
    follows = next_sentence(config, p, x, pooled)["logits"]
    return {"prediction_logits": predict_words(config, p, x), "seq_relationship_logits": follows}


def sequence_labels(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """A logit for each label of a sequence, [B, C]."""
    return {"logits": linear(p, "classifier", pooled)}


def choices(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """A logit for each sequence, [B]."""
    return {"logits": linear(p, "classifier", pooled)[:, 0]}


def token_labels(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """A logit for each label of a token, [..., C]."""
    return {"logits": linear(p, "classifier", x)}


def answers(config: BertConfig, p: Arrays, x: Array, pooled: Array) -> dict[str, Array]:
    """The logits for each token to be the first and the last token of the answer, each [...]."""
    start, end = np.moveaxis(linear(p, "qa_outputs", x), -1, 0)
    return {"start_logits": start, "end_logits": end}


OUTPUTS: dict[str, Callable[[BertConfig, Arrays, Array, Array], dict[str, Array]]] = {
    "Model": states,
    "ForPreTraining": pretraining,
    "ForMaskedLM": words,
    "LMHeadModel": words,
    "ForNextSentencePrediction": next_sentence,
    "ForSequenceClassification": sequence_labels,
    "ForMultipleChoice": choices,
    "ForTokenClassification": token_labels,
    "ForQuestionAnswering": answers,
}
"""{head: the function that returns its outputs}."""


def forward(config: BertConfig, p: Arrays, head: str = "Model", **inputs: Any) -> dict[str, Any]:
    """Return the outputs of the class `"Bert" + head`, by the same names, with `loss` if labels are passed.

    Inputs: see `ReferenceInputs`.

    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> p = {name: np.zeros(parameter.shape, np.float32) for name, parameter in expand(config, "ForMaskedLM").items()}
    >>> print(forward(config, p, "ForMaskedLM", input_ids=[[2, 4, 3]], labels=[[-100, 5, -100]])["loss"].round(2))
    2.2
    """
    head, given = head_of(head), ReferenceInputs(**inputs)
    row = HEADS[head]
    if absent := expand(config, head).keys() - p.keys():
        raise UsageError(
            f"Bert{head} needs {len(absent)} more parameters, such as {min(absent)}: load a checkpoint that has them."
        )
    choices_each = given.fold_choices() if "group" in row.labels.values() else None
    run, real = encode(config, p, given)
    x = run["hidden_states"][-1]
    first = x[np.arange(len(x)), real.argmax(1)]  # [B, H], of the first token that is not padding
    pooled = zeroed(pool(p, first), np.any(real, 1)) if POOLER in row.parts else first
    found = OUTPUTS[head](config, p, x, pooled)
    if choices_each is not None:  # [B * choices] -> [B, choices]
        found = {name: array.reshape(-1, choices_each) for name, array in found.items()}
    loss = loss_of(config, head, found, given)
    outputs: dict[str, Any] = {} if loss is None else {"loss": loss}
    for name, x in found.items():
        outputs[name] = x if row.outputs[name].grain == "row" else zeroed(x, real, row.outputs[name].padding)
    outputs["hidden_states"] = tuple(zeroed(x, real) for x in run["hidden_states"])
    of_heads = {name: tuple(zeroed(x, real[:, None]) for x in run[name]) for name in ("attentions", "cross_attentions")}
    return outputs | of_heads


def loss_of(config: BertConfig, head: str, found: Arrays, given: ReferenceInputs) -> Array | None:
    """The loss of the class `"Bert" + head` from its outputs. None if a required label was not passed."""
    pairs = [(found[x], getattr(given, y)) for x, y in zip(HEADS[head].outputs, HEADS[head].labels, strict=False)]
    if not pairs or any(labels is None for _, labels in pairs):
        return None
    if head == "ForSequenceClassification":
        return classification_loss(config, *pairs[0])
    if head == "LMHeadModel":  # the logits of a token predict the next token
        pairs = [(logits[:, :-1], labels[:, 1:]) for logits, labels in pairs]
    if head == "ForQuestionAnswering":  # padding is among the classes; later positions are ignored
        pairs = [(x, np.where(y < x.shape[1], y.astype(int).clip(0), -100)) for x, y in pairs]
    return np.asarray(sum(cross_entropy(*pair) for pair in pairs) / (2 if head == "ForQuestionAnswering" else 1))


def classification_loss(config: BertConfig, logits: Array, labels: Array) -> Array:
    """The loss of logits [B, C] and labels [B] or [B, C], by the problem type of the configuration or of the labels."""
    usual = "single_label_classification" if labels.dtype.kind in "iu" else "multi_label_classification"
    problem = config.problem_type or ("regression" if config.num_labels == 1 else usual)
    if problem == "single_label_classification":
        return cross_entropy(logits, labels)
    wanted = labels.reshape(logits.shape).astype(logits.dtype)
    if problem == "regression":
        return np.asarray(np.square(logits - wanted).mean())
    # Binary cross-entropy of each class, -log sigmoid, in a form that does not overflow.
    return np.asarray(np.mean(np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))))


def cross_entropy(logits: Array, labels: Array) -> Array:
    """The mean of -log softmax of logits [..., C] at labels [...] other than -100. NaN if all labels are -100."""
    labels = labels.reshape(logits.shape[:-1])
    logits, labels = logits[labels != -100], labels[labels != -100]
    if labels.size and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise UsageError(
            f"Labels must be 0 to {logits.shape[1] - 1}, or -100; received {labels.min()} to {labels.max()}."
        )
    logits = logits - logits.max(-1, keepdims=True)
    losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return np.asarray(losses.mean() if labels.size else np.nan, logits.dtype)
