"""Which versions of a model should be served, and what to do next to come there: pure functions.

The rules are TensorFlow Serving's (file_system_storage_path_source.cc, availability_preserving_policy.cc).
"""

import enum
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


class State(enum.IntEnum):
    """Where a version is in its life; the numbers of `ModelVersionStatus.State`."""

    START = get_model_status_pb2.ModelVersionStatus.START
    LOADING = get_model_status_pb2.ModelVersionStatus.LOADING
    AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    UNLOADING = get_model_status_pb2.ModelVersionStatus.UNLOADING
    END = get_model_status_pb2.ModelVersionStatus.END


class Action(NamedTuple):
    """To load a version, or else to unload it."""

    load: bool
    version: int


def versions_on_disk(base_path: Path) -> dict[int, Path] | None:
    """The folders whose names are whole numbers, by number; `None` where the base path is not there.

    A base path that is gone for a while is no order to unload everything.
    """
    try:
        names = sorted(entry.name for entry in base_path.iterdir())
    except OSError:
        return None
    return {int(name): base_path / name for name in names if name.isdecimal() and name.isascii()}


def aspired_versions(on_disk: Collection[int], policy: Policy) -> set[int]:
    """The versions that should be served: the latest (one, unless said otherwise), all, or those that are named.

    Example:
        >>> aspired_versions([1, 2, 3], Policy(latest={"num_versions": 2}))
        {2, 3}
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(on_disk)
    if choice == "specific":
        return set(on_disk) & set(policy.specific.versions)
    return set(sorted(on_disk)[-max(policy.latest.num_versions, 1) :])


def next_action(aspired: Collection[int], states: Mapping[int, State], failed: Collection[int] = ()) -> Action | None:
    """The next step, such that something is served as long as something should be.

    A version that is no longer wanted is unloaded when one that is wanted is available, or when none is wanted, or when
    it is not the last of the unwanted; until then the newest version that is wanted is loaded.

    Args:
        aspired: Versions that should be served.
        states: Those that are known, whatever became of them.
        failed: Those that cannot be loaded as they are.

    Returns:
        What to do, or `None` when there is nothing to do.
    """
    available = {version for version, state in states.items() if state is State.AVAILABLE}
    unwanted = available - set(aspired)
    if unwanted and (not aspired or available & set(aspired) or len(unwanted) > 1):
        return Action(False, min(unwanted))
    busy = {version for version, state in states.items() if state in (State.LOADING, State.UNLOADING)}
    new = set(aspired) - available - busy - set(failed)
    return Action(True, max(new)) if new else None
