#!/usr/bin/env bash
# Keras 3.15.1: `import keras` imports matplotlib's pyplot, pandas and scikit-learn (and with them SciPy) wherever they
# are installed, for data frames, picture galleries and the scikit-learn wrappers that most programs never touch. A
# command that answers one question with a saved model waits for all of them: in this environment about a third of the
# modules that the import loads. Hiding them from the import (None in sys.modules, removed afterwards) costs nothing else.
#
# Seen:
#   loaded by import keras: matplotlib.pyplot pandas scipy.sparse sklearn
#   while they are hidden: none
#   modules: more than 1.3 times as many: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorflow==2.21.0 keras==3.15.1 scikit-learn==1.8.0 pandas==2.3.3 matplotlib==3.10.8
cat > "$folder/loaded.py" <<'PY'
import sys

hidden = sys.argv[1:]
sys.modules.update(dict.fromkeys(hidden))
import keras  # noqa: E402, F401

watched = ("matplotlib.pyplot", "pandas", "scipy.sparse", "sklearn")
print(" ".join(name for name in watched if sys.modules.get(name)) or "none")
print(len(sys.modules))
PY
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
"$folder/venv/bin/python" "$folder/loaded.py" > "$folder/all" 2>/dev/null
"$folder/venv/bin/python" "$folder/loaded.py" matplotlib pandas scipy sklearn > "$folder/fewer" 2>/dev/null
{
  echo "loaded by import keras: $(head -1 "$folder/all")"
  echo "while they are hidden: $(head -1 "$folder/fewer")"
  more=$(awk -v a="$(tail -1 "$folder/all")" -v b="$(tail -1 "$folder/fewer")" 'BEGIN {print (a > 1.3 * b ? "True" : "False")}')
  echo "modules: more than 1.3 times as many: $more"
} | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
loaded by import keras: matplotlib.pyplot pandas scipy.sparse sklearn
while they are hidden: none
modules: more than 1.3 times as many: True
SEEN
