"""An exported model for a phone or a board: LiteRT (formerly TensorFlow Lite), quantised where wanted.

What converts is a signature on numbers, for one number of rows. Recurrent loops keep what they write in lists of
tensors whose shape was written down when the graph was traced, with the number of rows unknown; the converter needs it
known there, and infers nothing from the inputs, so it is told (`fixed_rows`). What does not convert is text: LiteRT has
no operations for strings, hash tables or TF.Text without TensorFlow itself linked beside it (its Flex delegate), and
then the export serves better as it is. Image captioning takes the contents of files, which are strings too.
"""

import json
import re
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import meta_graph_pb2, types_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from recur.cli.printing import silent_libraries
from recur.errors import InputError
from recur.files import atomically
from recur.serving.repository import find_version
from recur.serving.saved_model import meta_graphs
from recur.serving.warmup import read_warmup_requests

Form = Literal["int8", "float16", "float32"]
"""`int8`: weights in 8 bits, computed with in 32 (dynamic range); `float16`: weights in 16 bits; or as they are."""
_SHAPE_INPUT = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}
"""Which input of an operation on such lists is the shape of an element."""


def write_edge(
    path: Path, to: Path, form: Form = "int8", signature: str = "serving_default", rows: int = 1, as_json: bool = False
) -> dict[str, Any]:
    """Converts a signature of an exported model, writes the file, and prints what came of it.

    Args:
        path: A version of a model, or the folder of its versions, of which the newest is read.
        to: The file, which ends in .tflite.
        form: Of the weights.
        signature: Its name.
        rows: Of every request to the converted model.
        as_json: Print one JSON object.

    Returns:
        `saved_model`, `file`, `form`, `signature`, `rows`, `bytes`, `bytes_before` (of the variables), `operations`,
        and `deviation`: for each output the largest difference from the export's answer to its own warm-up request,
        absolute and as a share of the largest value there; None where there is no such request.

    Raises:
        InputError: There is no such model or signature, it cannot be converted, or the file cannot be written.
    """
    if to.suffix != ".tflite" or not to.parent.is_dir():
        raise InputError(f"`to` {to} should be a file that ends in .tflite, in a folder that exists")
    if rows < 1:
        raise InputError(f"`rows` should be at least 1, not {rows}")
    version = find_version(path)
    content = converted(version, form, signature, rows)
    with atomically(to) as temporary:
        temporary.write_bytes(content)
    report = {
        "saved_model": version.as_posix(),
        "file": to.as_posix(),
        "form": form,
        "signature": signature,
        "rows": rows,
        "bytes": len(content),
        "bytes_before": sum(file.stat().st_size for file in (version / "variables").glob("*.data-*")),
        **compared(version, content, signature, rows),
    }
    print(json.dumps(report) if as_json else _shown(report))  # noqa: T201
    return report


def converted(version: Path, form: Form, signature: str = "serving_default", rows: int = 1) -> bytes:
    """A signature of a SavedModel as a LiteRT model, of LiteRT's own operations alone.

    Raises:
        InputError: There is no such signature, or it takes or computes what LiteRT cannot.
    """
    signatures = _signatures(version)
    if signature not in signatures:
        raise InputError(f"{version} has no signature {signature}; it has {', '.join(sorted(signatures))}")
    strings = [name for name, info in signatures[signature].inputs.items() if info.dtype == types_pb2.DT_STRING]
    if strings:
        raise InputError(
            f"{signature} of {version} takes strings ({', '.join(strings)}), for which LiteRT has no operations; "
            f"serve it as it is, or convert a signature on numbers"
        )
    with silent_libraries(), tempfile.TemporaryDirectory() as folder:
        import tensorflow_text  # noqa: F401 - another signature of the same graph may have its operations

        try:
            module, _ = fixed_rows(str(version), signature, rows)
            # Gradients that this process happens to know are not of the frozen graph.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, folder, signatures={signature: module.serve}, options=options)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
            if form != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if form == "float16":
                converter.target_spec.supported_types = [tf.float16]
            return converter.convert()
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise _unconvertible(version, signature, error) from None
        except Exception as error:
            if type(error).__name__ != "ConverterError":  # a class of TensorFlow's that has no public name
                raise
            raise _unconvertible(version, signature, error) from None


def _signatures(version: Path) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    try:
        graph = next(graph for graph in meta_graphs(version) if "serve" in graph.meta_info_def.tags)
    except (ValueError, StopIteration):
        raise InputError(f"{version} is damaged; export it again") from None
    return {name: signature for name, signature in graph.signature_def.items() if not name.startswith("__saved_model")}


def _unconvertible(version: Path, signature: str, error: Exception) -> InputError:
    kinds = sorted(set(re.findall(r"\btf\.([A-Z]\w+)", str(error))))
    reason = f"LiteRT lacks {', '.join(kinds)}" if kinds else str(error).splitlines()[0]
    return InputError(f"{signature} of {version} cannot be converted ({reason}); serve it as it is")


def interpreter_of(content: bytes, threads: int = 1) -> tf.lite.Interpreter:
    """LiteRT's interpreter of a converted model."""
    with warnings.catch_warnings(), silent_libraries():
        warnings.simplefilter("ignore", UserWarning)  # says that the interpreter will have a package of its own
        return tf.lite.Interpreter(model_content=content, num_threads=threads)


def compared(version: Path, content: bytes, signature: str, rows: int) -> dict[str, Any]:
    """`operations` of a converted model, and its `deviation`, as `write_edge` says."""
    interpreter = interpreter_of(content)
    kinds = sorted({operation["op_name"] for operation in interpreter._get_ops_details()})
    request = read_warmup_requests(version).get(signature)
    if not request:
        return {"operations": kinds, "deviation": None}
    inputs = {name: np.resize(array, (rows, *array.shape[1:])) for name, array in request.items()}
    runner = interpreter.get_signature_runner(signature)
    expected = tf.saved_model.load(str(version)).signatures[signature](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )
    with silent_libraries():
        answers = runner(**inputs)
    deviation = {name: _deviation(answer, expected[name]) for name, answer in answers.items()}
    return {"operations": kinds, "deviation": deviation}


def _deviation(answer: np.ndarray, expected: tf.Tensor) -> dict[str, float]:
    wanted = expected.numpy().astype(np.float64)
    largest = float(np.abs(answer - wanted).max(initial=0))
    return {"absolute": largest, "share": largest / max(float(np.abs(wanted).max(initial=0)), 1e-30)}


def _shown(report: Mapping[str, Any]) -> str:
    lines = [
        f"{report['file']}: {report['bytes']:,} bytes, {report['form']}, for {report['rows']} rows; "
        f"the export's variables have {report['bytes_before']:,}",
        f"operations: {', '.join(report['operations'])}",
    ]
    if report["deviation"] is None:
        return "\n".join([*lines, "not compared with the export: it has no warm-up request for this signature"])
    return "\n".join(
        [
            *lines,
            *(
                f"{name}: differs from the export by {size['absolute']:.3g} at most, {size['share']:.1e} of the largest"
                for name, size in report["deviation"].items()
            ),
        ]
    )


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
        outputs = whole(**inputs)
        return [outputs[name] for name in names]

    frozen = convert_variables_to_constants_v2(ordered.get_concrete_function(**specs), lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        _know_rows(nodes, rows)
    for function in graph.library.function:
        for attributes in function.arg_attr.values():
            attributes.attr.pop("_output_shapes", None)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune([tensor.name for tensor in frozen.inputs], [tensor.name for tensor in frozen.outputs])
    order = [tensor.name.partition(":")[0] for tensor in frozen.inputs]

    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = pruned(*(inputs[name] for name in order))
        return {name: tf.identity(value) for name, value in zip(names, outputs, strict=True)}

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
