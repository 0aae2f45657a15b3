"""The folders of exported models: MODEL/VERSION, the version a whole number."""

from pathlib import Path

from recur.errors import InputError

GRAPH = "saved_model.pb"
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for them in a version."""


def versions(model: Path) -> list[int]:
    """The versions of a model in order: the folders that TensorFlow Serving would look into."""
    folders = (path for path in model.iterdir() if path.name.isdecimal())
    return sorted({int(path.name) for path in folders if path.is_dir() and str(int(path.name)) == path.name})


def served_models(folder: Path) -> list[str]:
    """The names of the models in a folder that have a version with a graph."""
    models = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(
        model.name for model in models if any((model / str(number) / GRAPH).is_file() for number in versions(model))
    )


def find_version(path: Path) -> Path:
    """The folder of one version, from itself or from that of its model, whose newest is meant.

    Raises:
        InputError: It is neither.
    """
    if (path / GRAPH).is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no folder {path}; name an exported model, say saved_models/NAME or one version")
    numbers = [number for number in versions(path) if (path / str(number) / GRAPH).is_file()]
    if not numbers:
        hint = f"there are: {', '.join(names)}" if (names := served_models(path)) else "export one first"
        raise InputError(f"{path} is no exported model (it has neither {GRAPH} nor versions); {hint}")
    return path / str(numbers[-1])
