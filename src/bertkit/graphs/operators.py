"""The operators that a BERT in a file may have: those that exporters and optimizers write. None has a branch or keeps values."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ONNX = _names(
    """
    Abs Add And ArgMax ArgMin Attention Cast CastLike Ceil Clip Concat Constant ConstantOfShape CumSum DequantizeLinear Div
    Dropout DynamicQuantizeLinear Einsum Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater
    GreaterOrEqual Identity IsInf IsNaN LayerNormalization Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max Min Mod Mul
    Neg NonZero Not Or Pow QLinearMatMul QuantizeLinear RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements ScatterND Shape Sigmoid Sign Size Slice Softmax Split
    Sqrt Squeeze Sub Sum Swish Tanh Tile TopK Transpose Trilu Unsqueeze Where Xor
    """
)
"""The operators of the standard."""

MICROSOFT = _names(
    """
    Attention BiasGelu BiasSoftmax DequantizeLinear DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedGemm FusedMatMul
    Gelu MatMulIntegerToFloat MatMulNBits MultiHeadAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearConcat
    QLinearMul QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu SkipLayerNormalization
    """
)
"""The operators of com.microsoft, which optimizers of ONNX Runtime write."""

OPENVINO = _names(
    """
    Abs Add BitwiseAnd BitwiseNot BitwiseOr Broadcast Ceiling Clamp Concat Const Convert ConvertLike CumSum Divide Einsum Equal
    Erf Exp FakeConvert FakeQuantize Floor FloorMod Gather GatherElements GatherND Gelu Greater GreaterEqual IsInf IsNaN Less
    LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor MVN MatMul Maximum Minimum Mod Multiply Negative
    NonZero NormalizeL2 NotEqual Parameter Power Range ReLU ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum Reshape Result RMS ScaledDotProductAttention ScatterElementsUpdate
    ScatterNDUpdate ScatterUpdate Select ShapeOf Sigmoid Sign Slice SoftMax Softmax Split Sqrt SquaredDifference Squeeze
    StridedSlice Subtract Swish Tanh Tile TopK Transpose Unsqueeze VariadicSplit
    """
)
"""The types of layers in a file of OpenVINO."""
