"""The names of the inputs and outputs of all graphs. B sequences of L tokens; M chosen tokens; H hidden width."""

from __future__ import annotations

from bertkit.heads import HEADS, POOLER

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
