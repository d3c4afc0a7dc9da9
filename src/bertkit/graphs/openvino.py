"""BERT as a graph of OpenVINO, made directly from the arrays of the table of parameters. Batches and lengths may have any size.

`exported_graph` has the inputs and outputs of the model classes, for files. `engine_graph` computes a head only at chosen tokens,
and has the states of all layers, for the engine. In comments:

    B sequences   L tokens in each   H hidden width   N heads   D = H/N width of a head   M chosen tokens   C numbers of an output
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.graphs import openvino_nodes as make
from bertkit.graphs.names import CHOSEN, INPUTS, STATES, has_choices, output_names
from bertkit.graphs.openvino_file import DATA, FILE
from bertkit.graphs.openvino_nodes import Model, Node
from bertkit.graphs.openvino_runtime import ops, ov
from bertkit.heads import ANSWERS, HEADS, POOLER, WORDS
from bertkit.parameters import kept_heads

_LOWEST = float(np.finfo(np.float32).min)
_BLOCKED = np.float32(_LOWEST / 2)  # not -inf: a token without others attends to all


class Layers:
    """The embeddings, layers and pooler of BERT, from the smallest step to the whole. int8: the products of the layers."""

    def __init__(self, config: BertConfig, tensors: Tensors, int8: bool = False) -> None:
        self.config, self.tensors, self.int8 = config, tensors, int8
        self.has_pooler = f"{POOLER}dense.weight" in tensors
        self._constants: dict[str, Node] = {}

    def parameter(self, name: str) -> Node:
        """The float32 constant of a parameter. Each is in the graph once."""
        if name not in self._constants:
            self._constants[name] = make.array(np.asarray(self.tensors[name], np.float32), name)
        return self._constants[name]

    def dense(self, x: Node, name: str, bias: str = "", int8: bool = False) -> Node:
        """The product with a matrix, plus a bias."""
        weight = f"{name}.weight"
        matrix = (
            make.quantized(np.asarray(self.tensors[weight], np.float32), weight) if int8 else self.parameter(weight)
        )
        return ops.add(ops.matmul(x, matrix, False, True), self.parameter(bias or f"{name}.bias"))

    def activate(self, x: Node) -> Node:
        """One of `config.ACTIVATIONS` of each number."""
        name = self.config.hidden_act
        if name.startswith("gelu"):
            return ops.gelu(x, "ERF" if name == "gelu" else "TANH")
        return {"relu": ops.relu, "tanh": ops.tanh, "silu": ops.swish, "swish": ops.swish}[name](x)

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalization."""
        x = ops.mvn(x, make.numbers(-1), True, self.config.layer_norm_eps, "inside_sqrt")
        return ops.add(ops.multiply(x, self.parameter(f"{name}.weight")), self.parameter(f"{name}.bias"))

    def embed(self, ids: Node, types: Node) -> Node:
        """The embeddings: [B, L] -> [B, L, H]."""
        places, name = make.count_to(make.size(ids, 1)), "bert.embeddings.{}_embeddings.weight".format
        parts = {"word": ids, "token_type": types, "position": places}  # a position for all sequences: [L, H]
        if self.config.position_embedding_type != "absolute":
            del parts["position"]
        first, *others = (ops.gather(self.parameter(name(of)), at, make.number(0)) for of, at in parts.items())
        for other in others:
            first = ops.add(first, other)
        return self.norm(first, "bert.embeddings.LayerNorm")

    def mask(self, real: Node) -> Node:
        """What is added to scores: 0, or the lowest number if a token does not attend to another. [B, 1, 1 or L, L]."""
        attends = ops.unsqueeze(real, make.numbers(1, 2))  # [B, 1, 1, L]
        if self.config.is_decoder:
            places = make.count_to(make.size(real, 1))
            earlier = ops.less_equal(places, ops.unsqueeze(places, make.numbers(1)))  # [L, L]
            attends = ops.logical_and(attends, earlier)
        return ops.select(attends, np.float32(0), _BLOCKED)

    def attention(self, number: int, name: str, x: Node, mask: Node) -> Node:
        """What each token attends to, by the heads that are not pruned: [B, L, H] -> [B, L, N * D]."""
        heads = len(kept_heads(self.config, number))
        width = len(self.tensors[f"{name}query.bias"]) // heads  # D
        split, swap = make.numbers(0, 0, heads, width), make.numbers(0, 2, 1, 3)  # zeros keep sizes
        q, k, v = (
            ops.transpose(ops.reshape(self.dense(x, name + part, int8=self.int8), split, True), swap)
            for part in ("query", "key", "value")
        )  # [B, N, L, D]
        if self.config.position_embedding_type != "absolute":
            mask = ops.add(mask, self.distances(name, q, k, width))
        context = ops.transpose(ops.scaled_dot_product_attention(q, k, v, mask), swap)
        return ops.reshape(context, make.numbers(0, 0, heads * width), True)

    def distances(self, name: str, q: Node, k: Node, width: int) -> Node:
        """What relative positions add to the scaled scores: [B, N, L, L]."""
        places = make.count_to(make.size(q, 2))
        distances = ops.subtract(ops.unsqueeze(places, make.numbers(1)), places)
        distances = ops.add(distances, make.number(self.config.max_position_embeddings - 1))
        between = ops.gather(self.parameter(f"{name}distance_embedding.weight"), distances, make.number(0))  # [L, L, D]
        scores = ops.einsum([q, between], "bnqd,qkd->bnqk")
        if self.config.position_embedding_type == "relative_key_query":
            scores = ops.add(scores, ops.einsum([k, between], "bnkd,qkd->bnqk"))
        return ops.multiply(scores, np.float32(width**-0.5))

    def layer(self, number: int, x: Node, mask: Node) -> Node:
        """One layer: [B, L, H] -> [B, L, H]."""
        name = f"bert.encoder.layer.{number}."
        context = self.attention(number, f"{name}attention.self.", x, mask)
        x = self.add_norm(f"{name}attention.output.", context, x)
        inside = self.activate(self.dense(x, f"{name}intermediate.dense", int8=self.int8))  # [B, L, intermediate_size]
        return self.add_norm(f"{name}output.", inside, x)

    def add_norm(self, name: str, x: Node, before: Node) -> Node:
        """The end of a block: a product, the states before the block, and the normalization of the sum: -> [B, L, H]."""
        return self.norm(ops.add(self.dense(x, f"{name}dense", int8=self.int8), before), f"{name}LayerNorm")

    def states(self, ids: Node, real: Node, types: Node) -> list[Node]:
        """The embeddings, and the states of each layer: each [B, L, H]. `real` is False at padding, [B, L]."""
        states, mask = [self.embed(ids, types)], self.mask(real)
        for number in range(self.config.num_hidden_layers):
            states.append(self.layer(number, states[-1], mask))
        return states

    def pooled(self, x: Node, real: Node) -> Node | None:
        """The pooled vectors, [B, H], of the first token of each sequence that is not padding. Zeros if there is none."""
        if not self.has_pooler:
            return None
        ones = ops.convert(real, "i32")
        place = ops.topk(ones, make.number(1), 1, "max", "value", "i64", True).output(
            1
        )  # [B, 1], the first of equal ones
        first = ops.squeeze(ops.gather(x, place, make.number(1), 1), make.numbers(1))  # [B, H]
        some = ops.not_equal(ops.reduce_max(ones, make.numbers(1)), np.int32(0))
        return make.where(some, ops.tanh(self.dense(first, f"{POOLER}dense")), 0.0)

    def words(self, x: Node) -> Node:
        """A logit for each word: [..., H] -> [..., V]."""
        name = "cls.predictions.transform."
        x = self.norm(self.activate(self.dense(x, f"{name}dense")), f"{name}LayerNorm")
        tied = self.config.tie_word_embeddings
        words = "bert.embeddings.word_embeddings" if tied else "cls.predictions.decoder"
        return self.dense(x, words, "cls.predictions.bias")

    def output(self, head: str, name: str, x: Node, pooled: Node) -> Node:
        """An output of a head, from states of tokens [..., H] and the pooled vectors [B, H]: [..., C] or [B, C], or without C."""
        row = HEADS[head].outputs[name]
        if row.part == WORDS:
            return self.words(x)
        if row.part in ("", POOLER):
            return pooled if row.part else x
        y = self.dense(pooled if row.grain == "row" else x, row.part.rstrip("."))
        if row.part == ANSWERS:  # each output is a column
            return ops.gather(y, make.number(list(HEADS[head].outputs).index(name)), make.number(-1))
        return y


def engine_graph(config: BertConfig, head: str, tensors: Tensors, int8: bool = False) -> Model:
    """The graph of an engine.

    Inputs: INPUTS [B, L], and the numbers of tokens at which outputs for tokens and words are wanted, CHOSEN [M].
    Outputs: those of the head, [M, ...] and [B, ...]; `pooler_output`, if there is a pooler; STATES of each layer.

    >>> from bertkit.parameters import expand
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> tensors = {name: np.zeros(one.shape, np.float32) for name, one in expand(config, "ForMaskedLM").items()}
    >>> [output.any_name for output in engine_graph(config, "ForMaskedLM", tensors).outputs]
    ['logits', 'hidden_states.0', 'hidden_states.1']
    """
    layers, inputs, chosen = (
        Layers(config, tensors, int8),
        [make.argument(name, 2) for name in INPUTS],
        make.argument(CHOSEN, 1),
    )
    ids, mask, types = inputs
    real = ops.not_equal(mask, make.number(0))
    states = layers.states(ids, real, types)
    x = ops.gather(make.shaped(states[-1], -1, config.hidden_size), chosen, make.number(0))  # [M, H]
    pooled = layers.pooled(states[-1], real)
    outputs = {name: layers.output(head, name, x, pooled) for name in output_names(head, layers.has_pooler)}
    if layers.has_pooler:
        outputs["pooler_output"] = pooled
    outputs |= {STATES.format(number): state for number, state in enumerate(states)}
    return make.model([*inputs, chosen], outputs)


def exported_graph(config: BertConfig, head: str, tensors: Tensors, int8: bool = False) -> Model:
    """The graph of a file, with the inputs and outputs of the class `"Bert" + head`.

    Inputs: INPUTS [B, L]; for ForMultipleChoice [B, choices, L]. Outputs: as in the table of heads, with their values at padding.
    """
    layers, grouped = Layers(config, tensors, int8), has_choices(head)
    inputs = [make.argument(name, 2 + grouped) for name in INPUTS]
    ids, mask, types = (make.shaped(x, -1, make.size(x, 2)) if grouped else x for x in inputs)
    real = ops.not_equal(mask, make.number(0))
    x = layers.states(ids, real, types)[-1]
    pooled, outputs = layers.pooled(x, real), {}
    for name in output_names(head, layers.has_pooler):
        y, row = layers.output(head, name, x, pooled), HEADS[head].outputs[name]
        if row.grain != "row":
            y = make.where(real, y, max(row.padding, _LOWEST))
        elif grouped:
            y = make.shaped(y, -1, make.size(inputs[0], 1))  # [B * choices, 1] -> [B, choices]
        outputs[name] = y
    return make.model(inputs, outputs)


def save(graph: Model, folder: Path) -> list[Path]:
    """Write the two files of a graph into a folder. Each of them is written completely, or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".openvino.") as beside:
        ov.save_model(graph, Path(beside) / FILE, compress_to_fp16=False)
        return [(Path(beside) / name).replace(folder / name) for name in (DATA, FILE)]
