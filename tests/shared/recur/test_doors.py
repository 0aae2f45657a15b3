"""The public packages: everything that they list is there and documented, and nothing is loaded before it is wanted."""

import importlib
import inspect
import subprocess
import sys

import pytest

DOORS = ("callbacks", "decoding", "gradients", "layers", "metrics")


@pytest.mark.parametrize("door", DOORS)
def test_all_names_are_there_and_documented(door):
    package = importlib.import_module(f"recur.{door}")
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        value = getattr(package, name)
        assert vars(package)[name] is value  # the second time nothing is looked up
        assert value.__module__.startswith(f"recur.{door}.")
        documented = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        assert len(documented.strip()) > 20, name


@pytest.mark.parametrize("door", DOORS)
def test_a_name_that_is_not_there(door):
    package = importlib.import_module(f"recur.{door}")
    with pytest.raises(AttributeError, match=rf"module 'recur.{door}' has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import recur.callbacks, recur.gradients, recur.metrics", ["keras", "tensorflow", "pandas", "matplotlib"]),
        ("from recur.metrics import wilson_interval", ["keras", "tensorflow"]),
        ("from recur.gradients import diagnose", ["keras", "tensorflow"]),
    ],
)
def test_nothing_is_loaded_before_it_is_wanted(statement, absent):
    script = f"import sys; {statement}; print(*({absent!r} & sys.modules.keys()))".replace("[", "{").replace("]", "}")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
