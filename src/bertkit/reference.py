"""BERT in plain NumPy: the forward pass and the losses of all nine classes, from top to bottom.

This is the text to read first, and what every faster implementation is compared with. In comments:

    B sequences   L tokens in each   H hidden width   N heads   D = H/N width of a head   V vocabulary   C labels

Parameters are {name in the parameter table: float32 array}, as `load_checkpoint` returns them. A matrix is [out, in].
Masks are boolean, and True means "attend". What padding puts out is zero, and so is what a sequence of nothing but padding
is pooled to; only the losses of tokens see what was computed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.parameters import expand, head_of, kept_heads
from bertkit.reference_losses import loss_of

Array = NDArray[Any]
Parameters = Mapping[str, Array]


@dataclass
class Inputs:
    """What a forward may be given: arrays, or lists of numbers."""

    input_ids: Any = None  # [B, L]; for ForMultipleChoice, this and the next four are [B, choices, L]
    attention_mask: Any = None  # [B, L], or [B, L, L]: who attends to whom
    token_type_ids: Any = None  # [B, L]
    position_ids: Any = None  # [B, L]
    inputs_embeds: Any = None  # [B, L, H], instead of input_ids
    head_mask: Any = None  # [N] or [layers, N]: factors of the heads, by their numbers before pruning
    encoder_hidden_states: Any = None  # [B, K, H]
    encoder_attention_mask: Any = None  # [B, K]
    labels: Any = None  # [B, L] for tokens, [B] or [B, C] for sequences; -100 is no label
    next_sentence_label: Any = None  # [B]
    start_positions: Any = None  # [B]
    end_positions: Any = None  # [B]

    def __post_init__(self) -> None:
        vars(self).update({name: np.asarray(x) for name, x in vars(self).items() if x is not None})


def forward(config: BertConfig, p: Parameters, head: str = "Model", **inputs: Any) -> dict[str, Any]:
    """What the class `"Bert" + head` returns, by the same names. `loss` is there if the labels are; for inputs see `Inputs`.

    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> p = {name: np.zeros(parameter.shape, np.float32) for name, parameter in expand(config, "ForMaskedLM").items()}
    >>> outputs = forward(config, p, "ForMaskedLM", input_ids=[[2, 4, 3]], labels=[[-100, 5, -100]])
    >>> outputs["logits"].shape, round(float(outputs["loss"]), 2)  # log(9), as all words are as likely
    ((1, 3, 9), 2.2)
    """
    head, given = head_of(head), Inputs(**inputs)
    if absent := expand(config, head).keys() - p.keys():
        raise UsageError(f"Bert{head} needs {len(absent)} more parameters, such as {min(absent)}: see load_checkpoint.")
    if (given.input_ids is None) == (given.inputs_embeds is None):
        raise UsageError("Give either input_ids or inputs_embeds.")
    if given.encoder_hidden_states is not None and not config.add_cross_attention:
        raise UsageError("encoder_hidden_states need BertConfig(is_decoder=True, add_cross_attention=True).")
    shape = (given.input_ids if given.inputs_embeds is None else given.inputs_embeds).shape
    if head == "ForMultipleChoice":  # each choice is a sequence of its own, [B, choices, L] -> [B * choices, L]
        for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"):
            if (x := getattr(given, name)) is not None:
                setattr(given, name, x.reshape(-1, *x.shape[2:]))
    run, real = encode(config, p, given)
    of_tokens, of_sequences = answers(config, p, head, run["hidden_states"][-1], real)
    if head == "ForMultipleChoice":
        of_sequences["logits"] = of_sequences["logits"].reshape(shape[:2])
    labels = (given.labels, given.next_sentence_label, given.start_positions, given.end_positions)
    loss = loss_of(config, head, of_tokens | of_sequences, *labels)
    outputs: dict[str, Any] = {} if loss is None else {"loss": loss}
    outputs |= {name: zeroed(x, real) for name, x in of_tokens.items()} | of_sequences
    outputs["hidden_states"] = tuple(zeroed(x, real) for x in run["hidden_states"])
    for name in ("attentions", "cross_attentions"):
        outputs[name] = tuple(zeroed(x, real[:, None]) for x in run[name])
    return outputs


def encode(config: BertConfig, p: Parameters, given: Inputs) -> tuple[dict[str, list[Array]], Array]:
    """The embeddings and the layers, which all classes share: what each layer makes; and which tokens are real, [B, L]."""
    x = embed(config, p, given)  # [B, L, H]
    sees, real = who_sees(config, given.attention_mask, x.shape[:2])
    mask = given.encoder_attention_mask
    sees_encoder = None if mask is None else mask.astype(bool)[:, None, None]  # [B, 1, 1, K]
    heads = (config.num_hidden_layers, config.num_attention_heads)
    factors = np.broadcast_to(1 if given.head_mask is None else given.head_mask, heads).astype(x.dtype)
    run: dict[str, list[Array]] = {"hidden_states": [x], "attentions": [], "cross_attentions": []}
    for layer in range(config.num_hidden_layers):
        name, kept = f"bert.encoder.layer.{layer}.", factors[layer, kept_heads(config, layer)]
        x, probabilities = attend(config, p, name + "attention", x, x, sees, kept)
        run["attentions"].append(probabilities)
        if given.encoder_hidden_states is not None:
            source = given.encoder_hidden_states
            x, probabilities = attend(config, p, name + "crossattention", x, source, sees_encoder, factors[layer])
            run["cross_attentions"].append(probabilities)
        inside = activate(config.hidden_act, linear(p, name + "intermediate.dense", x))  # [B, L, intermediate_size]
        x = norm(config, p, name + "output.LayerNorm", linear(p, name + "output.dense", inside) + x)
        run["hidden_states"].append(x)
    return run, real


def embed(config: BertConfig, p: Parameters, given: Inputs) -> Array:
    """A token is the sum of what it is, which sentence it is in and, with absolute positions, where it is: [B, L, H]."""
    x = rows(p, "word", given.input_ids) if given.inputs_embeds is None else given.inputs_embeds
    length, most = x.shape[1], config.max_position_embeddings
    if length > most:
        raise UsageError(f"There are {length} tokens, and max_position_embeddings is {most}: cut or split the text.")
    x = x + rows(p, "token_type", np.array(0) if given.token_type_ids is None else given.token_type_ids)
    if config.position_embedding_type == "absolute":
        x += rows(p, "position", np.arange(length) if given.position_ids is None else given.position_ids)
    return norm(config, p, "bert.embeddings.LayerNorm", x)


def rows(p: Parameters, what: str, numbers: Array) -> Array:
    """The rows of one of the three tables of embeddings."""
    table: Array = p[f"bert.embeddings.{what}_embeddings.weight"]
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(table):
        raise UsageError(f"{what} ids are 0 to {len(table) - 1}; these are {numbers.min()} to {numbers.max()}.")
    return np.asarray(table[numbers])


def who_sees(config: BertConfig, mask: Array | None, shape: tuple[int, ...]) -> tuple[Array | None, Array]:
    """Which token sees which, broadcast to [B, N, L, L], None for all; and which tokens are real, [B, L]."""
    causal = np.tri(shape[1], dtype=bool) if config.is_decoder else None
    if mask is None:
        return causal, np.ones(shape, bool)
    if mask.shape not in (shape, (*shape, shape[1])):
        raise UsageError(f"attention_mask is {mask.shape}; for tokens {shape} it is {shape} or {(*shape, shape[1])}.")
    mask = mask.astype(bool)
    if mask.ndim == 3:  # taken as it is, by decoders too, and says nothing of padding
        return mask[:, None], np.ones(shape, bool)
    return mask[:, None, None] if causal is None else mask[:, None, None] & causal, mask


def attend(
    config: BertConfig, p: Parameters, name: str, x: Array, source: Array, sees: Array | None, factors: Array
) -> tuple[Array, Array]:
    """Each token of x asks the tokens of `source`: its new states [B, L, H], and the probabilities [B, N, L, K]."""
    width = config.hidden_size // config.num_attention_heads
    asked = (("query", x), ("key", source), ("value", source))
    q, k, v = (  # [B, N, L or K, D]
        linear(p, f"{name}.self.{part}", of).reshape(*of.shape[:2], len(factors), width).swapaxes(1, 2)
        for part, of in asked
    )
    scores = q @ k.swapaxes(2, 3)
    if config.position_embedding_type != "absolute" and x is source:
        distances = np.subtract.outer(np.arange(x.shape[1]), np.arange(x.shape[1])) + config.max_position_embeddings - 1
        positions = p[name + ".self.distance_embedding.weight"][distances]  # [L, L, D]
        scores += np.einsum("bnqd,qkd->bnqk", q, positions)
        if config.position_embedding_type == "relative_key_query":
            scores += np.einsum("bnkd,qkd->bnqk", k, positions)
    scores *= width**-0.5
    if sees is not None:  # very low, not minus infinity: who sees none then sees all alike, and gets no NaN
        np.copyto(scores, np.finfo(scores.dtype).min / 2, where=~sees)
    probabilities = softmax(scores) * factors[:, None, None]
    context = (probabilities @ v).swapaxes(1, 2).reshape(*x.shape[:2], -1)  # [B, L, D times the heads that are left]
    return norm(config, p, name + ".output.LayerNorm", linear(p, name + ".output.dense", context) + x), probabilities


def linear(p: Parameters, name: str, x: Array, bias: str = "") -> Array:
    """The product with a matrix, plus a bias. One product for all sequences is faster than one for each."""
    weight = p[name + ".weight"]
    y: Array = x.reshape(-1, weight.shape[1]) @ weight.T
    y += p[bias or name + ".bias"]
    return y.reshape(*x.shape[:-1], len(weight))


def norm(config: BertConfig, p: Parameters, name: str, x: Array) -> Array:
    """Mean 0 and variance 1 for each token, then a learned scale and shift."""
    x = x - x.mean(-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + config.layer_norm_eps)
    x *= p[name + ".weight"]
    x += p[name + ".bias"]
    return x


def softmax(x: Array) -> Array:
    """Positive numbers whose sum is 1."""
    x = np.exp(x - x.max(-1, keepdims=True))
    x /= x.sum(-1, keepdims=True)
    return x


def zeroed(x: Array, real: Array) -> Array:
    """`x` with zeros where `real`, which has only its first dimensions, is False."""
    if real.all():
        return x
    return np.where(real.reshape(real.shape + (1,) * (x.ndim - real.ndim)), x, x.dtype.type(0))


# Each gate is x (1 + tanh(x P(x²))) / 2. The first P is a fit: within 7e-8 of the exact x (1 + erf(x / √2)) / 2.
_ERF = (0.797884216, 0.036334284, -3.3130354e-05, -5.52400429e-05, 3.96909228e-06, -1.33445249e-07, 1.80558792e-09)
_TANH = (0.7978845608, 0.7978845608 * 0.044715)
_GATES = {"gelu": _ERF, "gelu_new": _TANH, "gelu_pytorch_tanh": _TANH, "silu": (0.5,), "swish": (0.5,)}


def activate(name: str, x: Array) -> Array:
    """One of `config.ACTIVATIONS`, of each number."""
    if name not in _GATES:
        return np.tanh(x) if name == "tanh" else np.maximum(x, 0)
    square = np.minimum(x * x, 30.25)  # the fit ends at 5.5, and no float32 tells the difference beyond
    y = np.full_like(x, _GATES[name][-1])
    for coefficient in _GATES[name][-2::-1]:
        y *= square
        y += coefficient
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def answers(
    config: BertConfig, p: Parameters, head: str, x: Array, real: Array
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What a class makes of the last states x: of tokens [B, L, ...], and of sequences [B, ...]."""
    match head:
        case "ForMaskedLM" | "LMHeadModel":
            return {"logits": predict_words(config, p, x)}, {}
        case "ForTokenClassification":
            return {"logits": linear(p, "classifier", x)}, {}
        case "ForQuestionAnswering":
            start, end = np.moveaxis(linear(p, "qa_outputs", x), -1, 0)
            return {"start_logits": start, "end_logits": end}, {}
    first = x[np.arange(len(x)), real.argmax(1)]  # [B, H], of the first token that is real
    pooled = zeroed(np.tanh(linear(p, "bert.pooler.dense", first)), np.any(real, 1))
    match head:
        case "Model":
            return {"last_hidden_state": x}, {"pooler_output": pooled}
        case "ForPreTraining":
            follows = linear(p, "cls.seq_relationship", pooled)  # [B, 2]: it does, it does not
            return {"prediction_logits": predict_words(config, p, x)}, {"seq_relationship_logits": follows}
        case "ForNextSentencePrediction":
            return {}, {"logits": linear(p, "cls.seq_relationship", pooled)}
    return {}, {"logits": linear(p, "classifier", pooled)}  # [B, C], or [B * choices, 1]


def predict_words(config: BertConfig, p: Parameters, x: Array) -> Array:
    """A logit for each word, [..., H] -> [..., V]: the nearer to its embedding, the higher."""
    name = "cls.predictions.transform."
    x = norm(config, p, name + "LayerNorm", activate(config.hidden_act, linear(p, name + "dense", x)))
    words = "bert.embeddings.word_embeddings" if config.tie_word_embeddings else "cls.predictions.decoder"
    return linear(p, words, x, bias="cls.predictions.bias")
