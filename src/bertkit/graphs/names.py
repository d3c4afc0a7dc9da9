"""The names of the inputs and outputs of all graphs. B sequences of L tokens; M chosen tokens; H hidden width."""

from __future__ import annotations

from bertkit.config import BertConfig
from bertkit.heads import ANSWERS, HEADS, NEXT, POOLER, WORDS

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs of every graph, [B, L]; for ForMultipleChoice in files, [B, choices, L]."""

CHOSEN = "chosen_tokens"
"""Another input of an engine's graph: which of the B * L tokens the head is computed at, [M]."""

STATES = "hidden_states.{}"
"""The outputs of an engine's graph with the states of a layer, [B, L, H]. 0 is the embeddings."""


def output_names(head: str, pooler: bool) -> list[str]:
    """The outputs of a head. A model without a pooler lacks one.

    >>> output_names("Model", pooler=False)
    ['last_hidden_state']
    """
    return [name for name, output in HEADS[head].outputs.items() if pooler or output.part != POOLER]


def has_choices(head: str) -> bool:
    """Whether the inputs of a file have one more dimension, for the choices of an example."""
    return "group" in HEADS[head].labels.values()


def width_of(config: BertConfig, head: str, name: str) -> tuple[int, ...]:
    """The size of the last dimension of an output of a head, or nothing.

    >>> width_of(BertConfig(), "ForMaskedLM", "logits"), width_of(BertConfig(), "ForQuestionAnswering", "end_logits")
    ((30522,), ())
    """
    part = HEADS[head].outputs[name].part
    if part == ANSWERS:
        return ()
    known = {"": config.hidden_size, POOLER: config.hidden_size, WORDS: config.vocab_size, NEXT: 2}
    return (known.get(part, HEADS[head].classes or config.num_labels),)


def input_shape(head: str) -> tuple[str, ...]:
    """The dimensions of the inputs of a file."""
    return ("batch", "choices", "length") if has_choices(head) else ("batch", "length")


def output_shape(config: BertConfig, head: str, name: str) -> tuple[int | str, ...]:
    """The dimensions of an output of a file: names of those that may have any size, and sizes.

    >>> output_shape(BertConfig(), "Model", "pooler_output"), output_shape(BertConfig(), "ForMultipleChoice", "logits")
    (('batch', 768), ('batch', 'choices'))
    """
    sizes = input_shape(head)
    if HEADS[head].outputs[name].grain != "row":
        return (*sizes, *width_of(config, head, name))
    return sizes[:-1] if has_choices(head) else (*sizes[:-1], *width_of(config, head, name))
