"""What is in an exported model, read from its files: nothing is loaded or run."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.console
import rich.markup
import rich.table
from tensorboard.compat.proto import meta_graph_pb2, types_pb2

from recur.errors import InputError
from recur.serving.codec import DTYPES
from recur.serving.repository import CHECKSUMS, WARMUP_FILE, checksum_faults, find_version
from recur.serving.saved_model import meta_graphs, must_compile_functions, operations, stock_operations


def inspect_model(path: Path, *, as_json: bool = False) -> None:
    """Prints what `inspection` finds.

    Raises:
        InputError: It is no exported model, or a damaged one.
    """
    facts = inspection(path)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))  # noqa: T201
        return
    console = rich.console.Console()
    console.print(_signature_table(facts))
    for line in _lines(facts):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def inspection(path: Path) -> dict[str, Any]:
    """What a server will find in an exported model.

    Args:
        path: The folder of a version, or of a model, whose newest version is read.

    Returns:
        `path`; `tensorflow`, the version that wrote it; `bytes`; `signatures`: `inputs` and `outputs` by name, `dtype`
        and `shape` each, None where a size varies; `operations`: how many kinds there are, which are TF.Text's and
        which are `outside` of what a stock server has; `must_compile`, functions that XLA must compile, which such a
        server refuses; `variables` and their `parameters`; `assets`, bytes by name; `warmup_requests`;
        `checksum_faults`, None without SHA256SUMS; `varying`, outputs whose rows differ in size from batch to batch,
        which a server that divides requests cannot put together.

    Raises:
        InputError: It is no exported model, or a damaged one.
    """
    version = find_version(path)
    try:
        graph = next((graph for graph in meta_graphs(version) if "serve" in graph.meta_info_def.tags), None)
        if graph is None:
            raise InputError(f"{version} has no graph to serve (no tag `serve`); export it again")
        kinds, must_compile = operations(version), must_compile_functions(version)
        requests = _count_records(version / WARMUP_FILE)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{version} is damaged ({str(error).splitlines()[0]}); export it again") from None
    kinds -= {function.signature.name for function in graph.graph_def.library.function}  # called by their names
    stock, sizes = stock_operations(), _variable_sizes(graph)
    assets = [version / "assets" / asset.filename for asset in graph.asset_file_def]
    signatures = _signatures(graph)
    return {
        "path": version.as_posix(),
        "tensorflow": graph.meta_info_def.tensorflow_version,
        "bytes": sum(file.stat().st_size for file in version.rglob("*") if file.is_file()),
        "signatures": signatures,
        "varying": _varying(signatures),
        "operations": {
            "count": len(kinds),
            "text": sorted(kinds & stock.text),
            "outside": stock.foreign(kinds),
        },
        "must_compile": must_compile,
        "variables": len(sizes),
        "parameters": sum(sizes.values()),
        "assets": {file.name: file.stat().st_size if file.is_file() else None for file in assets},
        "warmup_requests": requests,
        "checksum_faults": checksum_faults(version),
    }


def _signatures(graph: meta_graph_pb2.MetaGraphDef) -> dict[str, dict[str, dict[str, Any]]]:
    def specs(infos: Mapping[str, Any]) -> dict[str, Any]:
        return {name: {"dtype": _dtype(info.dtype), "shape": _shape(info)} for name, info in sorted(infos.items())}

    return {
        name: {"inputs": specs(signature.inputs), "outputs": specs(signature.outputs)}
        for name, signature in sorted(graph.signature_def.items())
        if not name.startswith("__saved_model")  # the initialising operation is listed like a signature
    }


def _varying(signatures: Mapping[str, dict[str, dict[str, Any]]]) -> list[str]:
    return [
        f"{signature}: {name}"
        for signature, sides in signatures.items()
        for name, spec in sides["outputs"].items()
        if spec["shape"] is None or None in spec["shape"][1:]
    ]


def _dtype(number: int) -> str:
    name = types_pb2.DataType.Name(number)
    if name not in DTYPES or name == "DT_STRING":
        return name.removeprefix("DT_").lower()
    return DTYPES[name].name


def _shape(info: meta_graph_pb2.TensorInfo) -> list[int | None] | None:
    if info.tensor_shape.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]


def _variable_sizes(graph: meta_graph_pb2.MetaGraphDef) -> dict[str, int]:
    """How many numbers each variable holds, by the name of its node."""
    sizes = {}
    for node in graph.graph_def.node:
        if node.op == "VarHandleOp" and node.attr["dtype"].type != types_pb2.DT_STRING:  # an asset's path is one too
            size = 1
            for dim in node.attr["shape"].shape.dim:
                size *= max(dim.size, 0)
            sizes[node.name] = size
    return sizes


def _count_records(path: Path) -> int:
    """How many records a TFRecord file has; 0 where there is none.

    Raises:
        ValueError: It ends within a record.
    """
    if not path.is_file():
        return 0
    content, place, count = path.read_bytes(), 0, 0
    while place < len(content):
        if len(content) < place + 12:
            raise ValueError(f"{path.name} is cut short")
        place += 16 + struct.unpack_from("<Q", content, place)[0]  # length, its checksum, the record, its checksum
        count += 1
    if place != len(content):
        raise ValueError(f"{path.name} is cut short")
    return count


def _signature_table(facts: Mapping[str, Any]) -> rich.table.Table:
    table = rich.table.Table(title=rich.markup.escape(facts["path"]))
    for column in ("signature", "inputs", "outputs"):
        table.add_column(column)
    for name, signature in facts["signatures"].items():
        table.add_row(name, *(rich.markup.escape(_spec_text(signature[side])) for side in ("inputs", "outputs")))
    return table


def _spec_text(specs: Mapping[str, Any]) -> str:
    def shape(sizes: list[int | None] | None) -> str:
        if sizes is None:
            return "of any shape"
        return (
            f"[{', '.join(('?' if axis else 'N') if size is None else str(size) for axis, size in enumerate(sizes))}]"
        )

    return "\n".join(f"{name} {spec['dtype']} {shape(spec['shape'])}" for name, spec in specs.items())


def _lines(facts: Mapping[str, Any]) -> list[str]:
    kinds, faults = facts["operations"], facts["checksum_faults"]
    assets = ", ".join(f"{name} ({size or 0:,} bytes)" for name, size in facts["assets"].items())
    return [
        f"outputs whose rows vary in size: {', '.join(facts['varying']) or 'none'}",
        f"size: {facts['bytes'] / 1e6:.1f} MB, written by TensorFlow {facts['tensorflow']}",
        f"variables: {facts['variables']}, of {facts['parameters']:,} parameters",
        f"operations: {kinds['count']} kinds, of TF.Text: {', '.join(kinds['text']) or 'none'}",
        f"outside stock TensorFlow and TF.Text: {', '.join(kinds['outside']) or 'none'}",
        f"functions that XLA must compile: {', '.join(facts['must_compile']) or 'none'}",
        f"assets: {assets or 'none'}",
        f"warm-up requests: {facts['warmup_requests']}",
        f"{CHECKSUMS}: {'there is none' if faults is None else '; '.join(faults) or 'all files are as written'}",
    ]
