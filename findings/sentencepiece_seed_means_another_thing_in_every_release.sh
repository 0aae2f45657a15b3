#!/usr/bin/env bash
# SentencePiece 0.2.1, 0.2.2 and 0.2.3: set_random_generator_seed, called before subwords are sampled, keeps none of its
# likely promises in all three. In 0.2.1 two processes with the same seed draw the same, but setting the seed a second
# time in a process does not begin anew. In 0.2.3 it begins anew, and every process draws otherwise. In 0.2.2 neither
# holds. A training with subword regularisation that is resumed in another process does not see what it would have seen.
#
# Seen (releases: same seed again in a process draws the same; in another process draws the same):
#   0.2.1 again False, elsewhere True
#   0.2.2 again False, elsewhere False
#   0.2.3 again True, elsewhere False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/draw.py" <<'PY'
import io

import sentencepiece

sentences = [f"a fox of {number} winters runs over the hills and home again" for number in range(300)]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(sentences), model_writer=model, vocab_size=60, minloglevel=2
)
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def drawn(seed):
    sentencepiece.set_random_generator_seed(seed)
    return [processor.encode(text, enable_sampling=True, alpha=0.1, nbest_size=-1) for text in sentences[:20]]


first = drawn(7)
print(drawn(7) == first)
print(first)
PY
for release in 0.2.1 0.2.2 0.2.3; do
  python3 -m venv "$folder/$release"
  "$folder/$release/bin/pip" install --quiet --disable-pip-version-check sentencepiece==$release
  for process in one other; do
    "$folder/$release/bin/python" "$folder/draw.py" > "$folder/$process"
  done
  elsewhere=$(cmp -s <(tail -1 "$folder/one") <(tail -1 "$folder/other") && echo True || echo False)
  echo "$release again $(head -1 "$folder/one"), elsewhere $elsewhere"
done | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
0.2.1 again False, elsewhere True
0.2.2 again False, elsewhere False
0.2.3 again True, elsewhere False
SEEN
