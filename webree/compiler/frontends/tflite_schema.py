"""What the schema of TensorFlow Lite says, as tables: operators by code, element types, fields of options.

Enters: nothing. Leaves: names and slots (vtable indices) for tflite_file.py. Only what the front end reads is listed.
Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs (version 3)
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ELEMENT_TYPES", "OPTIONS", "ElementType", "Field", "operator_name"]


@dataclass(frozen=True, slots=True)
class ElementType:
    """One row of the schema's TensorType.

    Attributes:
        name: as MLIR writes it, with `u` for unsigned integers; or the schema's own name, if MLIR has none.
        numpy: NumPy's name for what lies in the file, or "" if the front end cannot read it.
        title: the schema's name, for errors.
    """

    name: str
    numpy: str
    title: str


ELEMENT_TYPES: dict[int, ElementType] = {
    0: ElementType("f32", "<f4", "FLOAT32"),
    1: ElementType("f16", "<f2", "FLOAT16"),
    2: ElementType("i32", "<i4", "INT32"),
    3: ElementType("ui8", "u1", "UINT8"),
    4: ElementType("i64", "<i8", "INT64"),
    5: ElementType("string", "", "STRING"),
    6: ElementType("i1", "?", "BOOL"),
    7: ElementType("i16", "<i2", "INT16"),
    8: ElementType("complex64", "", "COMPLEX64"),
    9: ElementType("i8", "i1", "INT8"),
    10: ElementType("f64", "<f8", "FLOAT64"),
    11: ElementType("complex128", "", "COMPLEX128"),
    12: ElementType("ui64", "<u8", "UINT64"),
    13: ElementType("resource", "", "RESOURCE"),
    14: ElementType("variant", "", "VARIANT"),
    15: ElementType("ui32", "<u4", "UINT32"),
    16: ElementType("ui16", "<u2", "UINT16"),
    17: ElementType("i4", "", "INT4"),
    18: ElementType("bf16", "", "BFLOAT16"),
}

_BUILTINS = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND
SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D
CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE
VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL
GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE
STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
""".split()


def operator_name(code: int) -> str:
    """The schema's name of a builtin operator; `BUILTIN_n` for a code that this table does not know."""
    return _BUILTINS[code] if 0 <= code < len(_BUILTINS) else f"BUILTIN_{code}"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an operator's options.

    Attributes:
        slot: index in the table's vtable.
        kind: a `struct` letter; `i*` for a vector of i32; `s` for a string.
        default: if the field is absent.
    """

    slot: int
    kind: str
    default: object


def _fields(text: str) -> dict[str, Field]:
    """`name slot kind [default]` per comma."""
    found = {}
    for row in text.split(","):
        name, slot, kind, *default = row.split()
        value: object = () if kind == "i*" else "" if kind == "s" else 0
        found[name] = Field(
            int(slot), kind, float(default[0]) if default and kind == "f" else int(default[0]) if default else value
        )
    return found


_POOL = _fields("padding 0 b, stride_w 1 i, stride_h 2 i, filter_w 3 i, filter_h 4 i, activation 5 b")
_ACTIVATION = _fields("activation 0 b")
_REDUCER = _fields("keep_dims 0 ?")
_ALIGN = "align_corners {0} ?, half_pixel {1} ?"
_SUBGRAPHS = "{0} 0 i, {1} 1 i"

OPTIONS: dict[str, dict[str, Field]] = {
    "CONV_2D": _fields("padding 0 b, stride_w 1 i, stride_h 2 i, activation 3 b, dilation_w 4 i 1, dilation_h 5 i 1"),
    "DEPTHWISE_CONV_2D": _fields(
        "padding 0 b, stride_w 1 i, stride_h 2 i, multiplier 3 i, activation 4 b, dilation_w 5 i 1, dilation_h 6 i 1"
    ),
    "TRANSPOSE_CONV": _fields("padding 0 b, stride_w 1 i, stride_h 2 i, activation 3 b"),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "L2_POOL_2D": _POOL,
    "FULLY_CONNECTED": _fields("activation 0 b, weights_format 1 b, keep_num_dims 2 ?"),
    "SOFTMAX": _fields("beta 0 f"),
    "CONCATENATION": _fields("axis 0 i, activation 1 b"),
    "ADD": _ACTIVATION,
    "SUB": _ACTIVATION,
    "MUL": _ACTIVATION,
    "DIV": _ACTIVATION,
    "L2_NORMALIZATION": _ACTIVATION,
    "LOCAL_RESPONSE_NORMALIZATION": _fields("radius 0 i, bias 1 f, alpha 2 f, beta 3 f"),
    "RESIZE_BILINEAR": _fields(_ALIGN.format(2, 3)),
    "RESIZE_NEAREST_NEIGHBOR": _fields(_ALIGN.format(0, 1)),
    "RESHAPE": _fields("new_shape 0 i*"),
    "SPACE_TO_DEPTH": _fields("block_size 0 i"),
    "DEPTH_TO_SPACE": _fields("block_size 0 i"),
    "GATHER": _fields("axis 0 i, batch_dims 1 i"),
    "MEAN": _REDUCER,
    "SUM": _REDUCER,
    "REDUCE_PROD": _REDUCER,
    "REDUCE_MAX": _REDUCER,
    "REDUCE_MIN": _REDUCER,
    "REDUCE_ANY": _REDUCER,
    "REDUCE_ALL": _REDUCER,
    "SQUEEZE": _fields("dims 0 i*"),
    "SPLIT": _fields("count 0 i"),
    "SPLIT_V": _fields("count 0 i"),
    "STRIDED_SLICE": _fields(
        "begin_mask 0 i, end_mask 1 i, ellipsis_mask 2 i, new_axis_mask 3 i, shrink_axis_mask 4 i, offset 5 ?"
    ),
    "PACK": _fields("count 0 i, axis 1 i"),
    "UNPACK": _fields("count 0 i, axis 1 i"),
    "ONE_HOT": _fields("axis 0 i"),
    "LEAKY_RELU": _fields("alpha 0 f"),
    "MIRROR_PAD": _fields("mode 0 b"),
    "BATCH_MATMUL": _fields("adj_x 0 ?, adj_y 1 ?"),
    "CUMSUM": _fields("exclusive 0 ?, reverse 1 ?"),
    "GELU": _fields("approximate 0 ?"),
    "REVERSE_SEQUENCE": _fields("seq_dim 0 i, batch_dim 1 i"),
    "VAR_HANDLE": _fields("container 0 s, shared_name 1 s"),
    "CALL_ONCE": _fields("subgraph 0 i"),
    "IF": _fields(_SUBGRAPHS.format("then", "otherwise")),
    "WHILE": _fields(_SUBGRAPHS.format("condition", "body")),
    "FAKE_QUANT": _fields("minimum 0 f, maximum 1 f, bits 2 i, narrow 3 ?"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _fields("activation 0 b, cell_clip 1 f, proj_clip 2 f, time_major 3 ?"),
}
