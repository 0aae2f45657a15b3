"""A signature's graph for one number of rows, with its variables as constants.

Loops keep what they write in lists of tensors whose shape was written down when the graph was traced, with the number
of rows unknown. LiteRT's converter needs it known there, and infers nothing from the inputs.
"""

from collections.abc import Iterable

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

_SHAPE_INPUT = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}
"""Which input of an operation on such lists is the shape of an element."""


def fixed_rows(path: str, signature: str, rows: int) -> tuple[tf.Module, tf.types.experimental.ConcreteFunction]:
    """Reads a signature of a SavedModel as a function of so many rows.

    Args:
        path: The folder of the SavedModel.
        signature: Its name.
        rows: Their number.

    Returns:
        A module to save, whose `serve` takes and gives what the signature does, and the signature itself.
    """
    loaded = tf.saved_model.load(path)
    whole = loaded.signatures[signature]
    specs = {
        name: tf.TensorSpec([rows, *spec.shape[1:]], spec.dtype, name)
        for name, spec in whole.structured_input_signature[1].items()
    }
    names = sorted(whole.structured_outputs)

    @tf.function(autograph=False)
    def ordered(**inputs: tf.Tensor) -> list[tf.Tensor]:
        found = whole(**inputs)
        return [found[name] for name in names]

    frozen = convert_variables_to_constants_v2(ordered.get_concrete_function(**specs), lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        _know_rows(nodes, rows)
    for function in graph.library.function:
        for attributes in function.arg_attr.values():
            attributes.attr.pop("_output_shapes", None)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune([each.name for each in frozen.inputs], [each.name for each in frozen.outputs])
    order = [each.name.partition(":")[0] for each in frozen.inputs]

    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        found = pruned(*(inputs[name] for name in order))
        return {name: tf.identity(value) for name, value in zip(names, found, strict=True)}

    module = tf.Module()
    module.serve = tf.function(serve, autograph=False).get_concrete_function(**specs)
    module.loaded = loaded  # keeps tables and variables alive
    return module, whole


def _know_rows(nodes: Iterable, rows: int) -> None:
    """Writes the number of rows where one size of a shape is unknown: rows were, when the graph was traced."""
    known = {node.name: node for node in nodes}
    for node in nodes:
        node.attr.pop("_output_shapes", None)
        if node.op in _SHAPE_INPUT:
            shape = known.get(node.input[_SHAPE_INPUT[node.op]].partition(":")[0])
            if shape is not None and shape.op == "Const":
                sizes = tf.make_ndarray(shape.attr["value"].tensor)
                if sizes.ndim == 1 and (sizes < 0).sum() == 1:
                    fixed = tf.make_tensor_proto(abs(sizes) * (sizes >= 0) + rows * (sizes < 0), sizes.dtype)
                    shape.attr["value"].tensor.CopyFrom(fixed)
        if node.op in ("While", "StatelessWhile"):
            for shape in node.attr["output_shapes"].list.shape:
                unknown = [dim for dim in shape.dim if dim.size < 0]
                if len(unknown) == 1:
                    unknown[0].size = rows
