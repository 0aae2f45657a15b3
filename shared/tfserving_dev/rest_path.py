"""The paths of the REST interface."""

import re
import urllib.parse
from typing import NamedTuple

from tensorflow_serving.apis import model_pb2

from tfserving_dev.serving_error import ServingError, invalid

_MODEL = r"(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/{_MODEL}:(?P<what>classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(rf"/v1/models(?:/{_MODEL})?(?P<what>/metadata)?", re.IGNORECASE | re.ASCII)
_LARGEST_VERSION = 2**63 - 1


class RestPath(NamedTuple):
    """What a request is for."""

    spec: model_pb2.ModelSpec
    """The model, with its version or label where the path says one."""
    what: str
    """`classify`, `regress`, `predict`, `metadata` or `status`."""


def is_rest_path(path: str) -> bool:
    """Whether the interface answers for a path at all, if only with an error."""
    return path[:4].lower() == "/v1/"


def parse_path(method: str, path: str) -> RestPath:
    """What a method and a path, percent-encoded as sent, ask for.

    Raises:
        ServingError: They ask for nothing that there is, or for a version too large to be one.
    """
    match = {"POST": _POST, "GET": _GET}.get(method, re.compile("(?!)")).fullmatch(path)
    if not match:
        raise malformed(method, path)
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"] or "", errors="replace"))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if int(digits[:20]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"], errors="replace")
    what = match["what"]
    if method == "GET":  # in other letters it is no metadata, but found
        what = "metadata" if what == "/metadata" else "status"
    if what not in ("classify", "regress", "predict", "metadata", "status"):  # in other letters
        raise malformed(method, path)
    if not spec.name:
        raise invalid("Missing model name in request.")
    return RestPath(spec, what)


def malformed(method: str, path: str) -> ServingError:
    """The error of a method and a path that ask for nothing."""
    return invalid(f"Malformed request: {method} {path}")
