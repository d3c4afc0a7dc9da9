"""BERT as an ONNX graph, made directly from the arrays of the table of parameters. Batches and lengths may have any size.

`exported_graph` has the inputs and outputs of the model classes, for files. `engine_graph` computes a head only at chosen tokens,
and has the states of all layers, for the engine. Both have the same layers, in one of two flavours:

    Portable   the standard operators, which every runtime has
    Fused      kernels of ONNX Runtime for attention, GELU and normalization; relative positions use the standard operators

In comments: B sequences, L tokens in each, H hidden width, A width of all heads of a layer, N heads, D = A/N, M chosen tokens,
C numbers of an output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.graphs.names import CHOSEN, INPUTS, STATES, has_choices, input_shape, output_names, output_shape, width_of
from bertkit.graphs.onnx_nodes import MICROSOFT, Nodes, OnnxGraph, Size
from bertkit.heads import ANSWERS, HEADS, POOLER, WORDS
from bertkit.parameters import kept_heads
from bertkit.tensors import Array

_LOWEST = float(np.finfo(np.float32).min / 2)  # not -inf: a token without others attends to all
_MOST_QUANTUM = 63
"""The largest quantized weight. With 7 bits, the sum of two products fits 16 bits, which CPUs without VNNI need."""

_ZERO = 128
"""The byte that stands for zero in a quantized input."""


class Portable:
    """The embeddings and layers of BERT, with standard operators only."""

    def __init__(self, config: BertConfig, tensors: Tensors, int8: bool = False) -> None:
        self.config, self.tensors, self.int8 = config, tensors, int8
        self.nodes = Nodes()
        self.ids, self.types = "input_ids", "token_type_ids"  # [B, L]
        self.attention_mask = "attention_mask"

    def states(self) -> list[str]:
        """The embeddings, and the states of each layer: each [B, L, H]."""
        add = self.nodes.add
        length = add("Squeeze", add("Shape", self.ids, start=1, end=2))
        self.places = add("Range", np.int64(0), length, np.int64(1))  # [L]
        self.real = add("Cast", self.attention_mask, to=TensorProto.BOOL)  # [B, L]
        self.ones = add("Cast", self.real, to=TensorProto.INT32)  # [B, L]
        self.attends = add("Unsqueeze", self.real, np.array([1, 2]))  # [B, 1, 1, L]
        if self.config.is_decoder:
            earlier = add("GreaterOrEqual", add("Unsqueeze", self.places, np.array([1])), self.places)
            self.attends = add("And", self.attends, earlier)  # [B, 1, L, L]
        states = [self.embed()]
        for number in range(self.config.num_hidden_layers):
            states.append(self.layer(number, states[-1]))
        return states

    def embed(self) -> str:
        """The embeddings: [B, L, H]."""
        add, name = self.nodes.add, "bert.embeddings.{}_embeddings.weight".format
        x = add("Gather", self.parameter(name("word")), self.ids)
        x = add("Add", x, add("Gather", self.parameter(name("token_type")), self.types))
        if self.config.position_embedding_type == "absolute":
            x = add("Add", x, add("Gather", self.parameter(name("position")), self.places))
        return self.norm(x, "bert.embeddings.LayerNorm")

    def layer(self, number: int, x: str) -> str:
        """One layer: [B, L, H] -> [B, L, H]."""
        name = f"bert.encoder.layer.{number}."
        context = self.attention(number, f"{name}attention.self.", x)
        x = self.add_norm(f"{name}attention.output.", context, x)
        return self.add_norm(f"{name}output.", self.inner(f"{name}intermediate.dense", x), x)

    def attention(self, number: int, name: str, x: str) -> str:
        """What each token attends to: [B, L, H] -> [B, L, A]."""
        add, heads, width = self.nodes.add, len(kept_heads(self.config, number)), self.width(name)
        joined = add("Add", self.product(x, f"{name}joined", self.joined(name)), self.joined_bias(name))
        shape = np.array([0, 0, heads, width // heads])  # zeros keep sizes
        q, k, v = (
            add("Transpose", add("Reshape", part, shape), perm=[0, 2, 1, 3])
            for part in self.nodes.add_several("Split", 3, joined, axis=2)
        )  # [B, N, L, D]
        scores = add("MatMul", q, add("Transpose", k, perm=[0, 1, 3, 2]))
        if self.config.position_embedding_type != "absolute":
            scores = self.with_distances(name, scores, q, k)
        scores = add("Mul", scores, np.float32((width // heads) ** -0.5))
        probabilities = add("Softmax", add("Where", self.attends, scores, np.float32(_LOWEST)), axis=-1)
        context = add("Transpose", add("MatMul", probabilities, v), perm=[0, 2, 1, 3])
        return add("Reshape", context, np.array([0, 0, width]))

    def with_distances(self, name: str, scores: str, q: str, k: str) -> str:
        """The scores [B, N, L, L] plus those of relative positions."""
        add = self.nodes.add
        distances = add("Sub", add("Unsqueeze", self.places, np.array([1])), self.places)
        distances = add("Add", distances, np.int64(self.config.max_position_embeddings - 1))
        between = add("Gather", self.parameter(f"{name}distance_embedding.weight"), distances)  # [L, L, D]
        scores = add("Add", scores, add("Einsum", q, between, equation="bnqd,qkd->bnqk"))
        if self.config.position_embedding_type == "relative_key_query":
            scores = add("Add", scores, add("Einsum", k, between, equation="bnkd,qkd->bnqk"))
        return scores

    def inner(self, name: str, x: str) -> str:
        """The first product of the feed-forward part, activated: [B, L, H] -> [B, L, intermediate_size]."""
        y = self.product(x, name, self.transposed(name))
        return self.activate(self.nodes.add("Add", y, self.parameter(f"{name}.bias")))

    def add_norm(self, name: str, x: str, before: str) -> str:
        """The end of a block: a product, the states before the block, and the normalization of the sum: -> [B, L, H]."""
        y = self.product(x, f"{name}dense", self.transposed(f"{name}dense"))
        y = self.nodes.add("Add", y, self.parameter(f"{name}dense.bias"))
        return self.norm(self.nodes.add("Add", y, before), f"{name}LayerNorm")

    # Steps of several places.

    def product(self, x: str, name: str, matrix: Callable[[], Array]) -> str:
        """The product with a matrix [in, out]. int8: of integers, with a scale for each token and each column of the matrix."""
        add = self.nodes.add
        if not self.int8:
            return add("MatMul", x, self.named(f"{name}.matrix", matrix))
        largest = add("ReduceMax", add("Abs", x), axes=[-1], keepdims=1)
        scale = add("Max", add("Mul", largest, np.float32(1 / 127)), np.finfo(np.float32).tiny)  # [B, L, 1]
        whole = add("Add", add("Round", add("Div", x, scale)), np.float32(_ZERO))
        integers = add("Cast", whole, to=TensorProto.UINT8)
        return add("Mul", self.integer_product(integers, *self.quantized(name, matrix)), scale)

    def integer_product(self, x: str, matrix: str, scales: str) -> str:
        """The product of bytes with a matrix of integers, times the scales of its columns."""
        whole = self.nodes.add("MatMulInteger", x, matrix, np.uint8(_ZERO))
        return self.nodes.add("Mul", self.nodes.add("Cast", whole, to=TensorProto.FLOAT), scales)

    def quantized(self, name: str, matrix: Callable[[], Array]) -> tuple[str, str]:
        """The names of a matrix of int8, and of the scales of its columns."""
        values = matrix()
        scales = np.maximum(np.abs(values).max(0), np.finfo(np.float32).tiny * _MOST_QUANTUM) / np.float32(
            _MOST_QUANTUM
        )
        whole = self.nodes.array(f"{name}.int8", np.rint(values / scales).astype(np.int8))
        return whole, self.nodes.array(f"{name}.scales", scales)

    def activate(self, x: str) -> str:
        """One of `config.ACTIVATIONS` of each number."""
        add, name = self.nodes.add, self.config.hidden_act
        if name in ("relu", "tanh"):
            return add(name.title(), x)
        if name in ("silu", "swish"):
            return add("Mul", x, add("Sigmoid", x))
        if name == "gelu":
            gate = add("Erf", add("Div", x, np.float32(math.sqrt(2))))
        else:
            cubes = add("Mul", add("Mul", add("Mul", x, x), x), np.float32(0.044715))
            gate = add("Tanh", add("Mul", add("Add", x, cubes), np.float32(math.sqrt(2 / math.pi))))
        return add("Mul", add("Mul", x, add("Add", gate, np.float32(1))), np.float32(0.5))

    def norm(self, x: str, name: str) -> str:
        """Layer normalization."""
        weight, bias = self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")
        return self.nodes.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=self.config.layer_norm_eps)

    # The arrays, all float32.

    def named(self, name: str, values: Callable[[], Array]) -> str:
        """Add an array if its name is new. Returns the name."""
        return name if name in self.nodes else self.nodes.array(name, values())

    def parameter(self, name: str) -> str:
        """A parameter of the table."""
        return self.named(name, lambda: np.asarray(self.tensors[name], np.float32))

    def transposed(self, name: str) -> Callable[[], Array]:
        """The matrix of a dense layer as [in, out]."""
        return lambda: np.ascontiguousarray(self.tensors[f"{name}.weight"].T, np.float32)

    def joined(self, name: str) -> Callable[[], Array]:
        """The matrices of query, key and value beside each other: [H, 3A]."""
        return lambda: np.concatenate([self.transposed(name + part)() for part in ("query", "key", "value")], 1)

    def joined_bias(self, name: str) -> str:
        """The biases of query, key and value, [3A]."""
        parts = [self.tensors[f"{name}{part}.bias"] for part in ("query", "key", "value")]
        return self.nodes.array(f"{name}joined.bias", np.concatenate(parts).astype(np.float32))

    def width(self, name: str) -> int:
        """A: the width of all heads of a layer that are not pruned."""
        return len(self.tensors[f"{name}query.bias"])


class Fused(Portable):
    """The same, with the kernels of ONNX Runtime for attention, GELU and normalization."""

    def attention(self, number: int, name: str, x: str) -> str:
        """As in Portable. No kernel has relative positions, and none without the product has a decoder's mask in all versions."""
        heads, width = len(kept_heads(self.config, number)), self.width(name)
        if self.config.position_embedding_type != "absolute" or (self.int8 and self.config.is_decoder):
            return super().attention(number, name, x)
        own = {"num_heads": heads, "mask_filter_value": _LOWEST}
        if self.int8:
            joined = self.product(x, f"{name}joined", self.joined(name))
            parts = self.nodes.add_several("Split", 3, joined, axis=2)
            return self.nodes.add(
                "MultiHeadAttention", *parts, self.joined_bias(name), self.ones, domain=MICROSOFT, **own
            )
        own["unidirectional"] = int(self.config.is_decoder)
        weight = self.named(f"{name}joined.matrix", self.joined(name))
        sizes = [width, width, width]
        inputs = (x, weight, self.joined_bias(name), self.ones)
        return self.nodes.add("Attention", *inputs, domain=MICROSOFT, qkv_hidden_sizes=sizes, **own)

    def integer_product(self, x: str, matrix: str, scales: str) -> str:
        """As in Portable, in one kernel."""
        one, zero = np.float32(1), np.uint8(_ZERO)
        return self.nodes.add("MatMulIntegerToFloat", x, matrix, one, scales, zero, domain=MICROSOFT)

    def inner(self, name: str, x: str) -> str:
        """As in Portable, with the bias in the kernel of the activation."""
        kernel = {"gelu": "BiasGelu", "gelu_new": "FastGelu", "gelu_pytorch_tanh": "FastGelu"}.get(
            self.config.hidden_act
        )
        if kernel is None:
            return super().inner(name, x)
        y = self.product(x, name, self.transposed(name))
        return self.nodes.add(kernel, y, self.parameter(f"{name}.bias"), domain=MICROSOFT)

    def add_norm(self, name: str, x: str, before: str) -> str:
        """As in Portable, with both sums in the kernel of the normalization."""
        y = self.product(x, f"{name}dense", self.transposed(f"{name}dense"))
        parts = [self.parameter(name + part) for part in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        epsilon = self.config.layer_norm_eps
        return self.nodes.add("SkipLayerNormalization", y, before, *parts, domain=MICROSOFT, epsilon=epsilon)


class _Outputs:
    """The outputs of a head, from the states of chosen tokens, [M, H], and the pooled vectors, [B, H]. None is quantized."""

    def __init__(self, layers: Portable, head: str, chosen: str, pooled: str) -> None:
        self.layers, self.head, self.chosen, self.pooled = layers, head, chosen, pooled

    def output(self, name: str) -> str:
        """An output of the table of heads: [M, C], [B, C], or without C."""
        row = HEADS[self.head].outputs[name]
        x = self.pooled if row.grain == "row" else self.chosen
        if row.part in ("", POOLER):
            return x
        if row.part == WORDS:
            return self.words(x)
        y = self.dense(x, row.part.rstrip("."))
        if row.part == ANSWERS:  # each output is a column
            return self.layers.nodes.add("Gather", y, np.int64(list(HEADS[self.head].outputs).index(name)), axis=1)
        return y

    def words(self, x: str) -> str:
        """A logit for each word: [M, H] -> [M, V]."""
        layers, name = self.layers, "cls.predictions.transform."
        x = layers.norm(layers.activate(self.dense(x, f"{name}dense")), f"{name}LayerNorm")
        tied = layers.config.tie_word_embeddings
        words = "bert.embeddings.word_embeddings" if tied else "cls.predictions.decoder"
        return self.dense(x, words, "cls.predictions.bias")

    def dense(self, x: str, name: str, bias: str = "") -> str:
        """A product and its bias: [M, H] -> [M, C]."""
        weight, bias = self.layers.parameter(f"{name}.weight"), self.layers.parameter(bias or f"{name}.bias")
        return self.layers.nodes.add("Gemm", x, weight, bias, transB=1)


def _pooled(layers: Portable, x: str) -> str:
    """The pooled vectors, [B, H], of the first token of each sequence that is not padding. Zeros if there is none."""
    add = layers.nodes.add
    first = add("GatherND", x, add("ArgMax", layers.ones, axis=1), batch_dims=1)
    weight, bias = (layers.parameter(f"{POOLER}dense.{part}") for part in ("weight", "bias"))
    pooled = add("Tanh", add("Gemm", first, weight, bias, transB=1))
    some = add("Cast", add("ReduceMax", layers.ones, axes=[1]), to=TensorProto.BOOL)  # [B, 1]
    return add("Where", some, pooled, np.float32(0))


def engine_graph(config: BertConfig, head: str, tensors: Tensors, int8: bool = False) -> OnnxGraph:
    """The graph of an engine.

    Inputs: INPUTS [B, L], and the numbers of tokens at which outputs for tokens and words are wanted, CHOSEN [M].
    Outputs: those of the head, [M, ...] and [B, ...]; `pooler_output`, if there is a pooler; STATES of each layer.
    """
    layers = Fused(config, tensors, int8)
    states = layers.states()
    rows = layers.nodes.add("Reshape", states[-1], np.array([-1, config.hidden_size]))
    pooler = f"{POOLER}dense.weight" in tensors
    pooled = _pooled(layers, states[-1]) if pooler else ""
    heads = _Outputs(layers, head, layers.nodes.add("Gather", rows, CHOSEN), pooled)
    outputs: dict[str, Sequence[Size]] = {}
    for name in output_names(head, pooler):
        layers.nodes.rename(heads.output(name), name)
        outputs[name] = (
            "batch" if HEADS[head].outputs[name].grain == "row" else "tokens",
            *width_of(config, head, name),
        )
    if pooler and "pooler_output" not in outputs:
        layers.nodes.rename(pooled, "pooler_output")
        outputs["pooler_output"] = ("batch", config.hidden_size)
    for number, x in enumerate(states):
        layers.nodes.rename(x, STATES.format(number))
        outputs[STATES.format(number)] = ("batch", "length", config.hidden_size)
    inputs: dict[str, Sequence[Size]] = {**dict.fromkeys(INPUTS, ("batch", "length")), CHOSEN: ("tokens",)}
    return layers.nodes.graph(inputs, outputs, _facts(int8))


def exported_graph(
    config: BertConfig, head: str, tensors: Tensors, int8: bool = False, portable: bool = False
) -> OnnxGraph:
    """The graph of a file, with the inputs and outputs of the class `"Bert" + head`.

    Inputs: INPUTS [B, L]; for ForMultipleChoice [B, choices, L]. Outputs: as in the table of heads, with their values at padding.
    """
    layers = (Portable if portable else Fused)(config, tensors, int8)
    add, grouped = layers.nodes.add, has_choices(head)
    if grouped:
        layers.ids, layers.attention_mask, layers.types = (_without_choices(layers, name) for name in INPUTS)
    x = layers.states()[-1]
    rows = add("Reshape", x, np.array([-1, config.hidden_size]))  # [B * L, H]
    pooler = f"{POOLER}dense.weight" in tensors
    heads = _Outputs(layers, head, rows, _pooled(layers, x) if pooler else "")
    outputs: dict[str, Sequence[Size]] = {}
    for name in output_names(head, pooler):
        y, row = heads.output(name), HEADS[head].outputs[name]
        if row.grain != "row":
            y = _as_rectangle(layers, y, width_of(config, head, name), row.padding)
        elif grouped:
            y = add("Reshape", y, add("Shape", INPUTS[0], start=0, end=2))
        layers.nodes.rename(y, name)
        outputs[name] = output_shape(config, head, name)
    return layers.nodes.graph(dict.fromkeys(INPUTS, input_shape(head)), outputs, _facts(int8))


def _without_choices(layers: Portable, name: str) -> str:
    """[B, choices, L] -> [B * choices, L]."""
    add = layers.nodes.add
    shape = add("Concat", np.array([-1]), add("Shape", name, start=2), axis=0)
    return add("Reshape", name, shape)


def _as_rectangle(layers: Portable, y: str, width: Sequence[Size], padding: float) -> str:
    """[B * L, C] -> [B, L, C], with a value for padding. -inf means the lowest number. The same without C."""
    add, real = layers.nodes.add, layers.real
    shape = add("Shape", layers.ids)
    if width:
        shape = add("Concat", shape, np.array(width, np.int64), axis=0)
        real = add("Unsqueeze", real, np.array([2]))
    filler = np.float32(max(padding, float(np.finfo(np.float32).min)))
    return add("Where", real, add("Reshape", y, shape), filler)


def _facts(int8: bool) -> dict[str, str]:
    return {"precision": "int8" if int8 else "fp32"}
