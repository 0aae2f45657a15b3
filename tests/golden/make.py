"""Makes what stands beside it with the code of commit d65bda5: CHECKOUT/.venv/bin/python make.py CHECKOUT.

Data, runs, exports, answers and saved layers of five tiny applications; README.md says what is where.
"""

import contextlib
import csv
import io
import json
import lzma
import os
import random
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE, CHECKOUT = Path(__file__).resolve().parent, Path(sys.argv[1]).resolve()
sys.path.insert(0, str(CHECKOUT))
WORK = Path(tempfile.mkdtemp())
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg", "XDG_CACHE_HOME": str(WORK / "cache")}
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
os.chdir(WORK)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
from shared.cli import main  # noqa: E402
from shared.layers.builders import attention_decoder, recurrent_layer  # noqa: E402
from shared.layers.initializers import initializer  # noqa: E402
from shared.layers.networks import recurrent_network  # noqa: E402
from shared.training import Trainer  # noqa: E402

from apps.image_captioning import encoders  # noqa: E402
from apps.image_captioning.application import APPLICATION as IMAGE_CAPTIONING  # noqa: E402
from apps.sentiment_analysis.application import APPLICATION as SENTIMENT_ANALYSIS  # noqa: E402
from apps.stock_forecasting.application import APPLICATION as STOCK_FORECASTING  # noqa: E402
from apps.text_generation.application import APPLICATION as TEXT_GENERATION  # noqa: E402
from apps.translation.application import APPLICATION as TRANSLATION  # noqa: E402

DATA = Path("data")
FEW = "--preset quick --epochs 2 --warmup-steps 2"
UNFINISHED = Path("runs/text_generation/unfinished")

# Of each application its data, the settings of its run, and what it is asked: inputs, and options of `predict`.
PLANS = {
    TEXT_GENERATION: (
        "data/text.txt",
        f"{FEW} --units 8 --embedding-units 4 --batch-size 4 --window 8 --steps-per-epoch 20 --dropout 0.1 "
        "--learning-rate 0.02",
        [
            (["The lamp", "rain"], {"length": 24}),
            (["Under"], {"length": 16, "temperature": 1.0, "top_k": 5, "top_p": 0.9, "seed": 7}),
        ],
    ),
    SENTIMENT_ANALYSIS: (
        "data/reviews.csv",
        f"{FEW} --units 4 --embedding-units 4 --batch-size 8 --longest 12 --steps-per-epoch 12 --learning-rate 0.02",
        [
            (["A kind and clever bicycle.", "The broken kettle is a waste!"], {}),
            (["Broken, but clever."], {"explain": True}),
        ],
    ),
    TRANSLATION: (
        "data/pairs",
        f"{FEW} --source en --target xx --units 8 --embedding-units 8 --subwords bpe --vocabulary-size 60 "
        "--batch-tokens 256 --steps-per-epoch 20 --learning-rate 0.02 --beam-width 2",
        [(["Two ships sail.", "One bell rings."], {}), (["Three bells ring."], {"n_best": True})],
    ),
    IMAGE_CAPTIONING: (
        "data/pictures",
        f"{FEW} --minimum-count 1 --units 8 --embedding-units 8 --batch-size 4 --steps-per-epoch 10 "
        "--learning-rate 0.02 --beam-width 2",
        [(["data/pictures/00.png", "data/pictures/01.png"], {}), (["data/pictures/02.png"], {"n_best": True})],
    ),
    STOCK_FORECASTING: (
        "data/prices.csv",
        f"{FEW} --window 96 --read 64 --burn-in 32 --horizon 3 --units 4 --batch-size 4 --steps-per-epoch 4 "
        "--test-fraction 0.2 --validation-fraction 0.2 --learning-rate 0.01",
        [(["data/prices.csv"], {})],
    ),
}


def make_data() -> None:
    """Writes a text, reviews, pairs of sentences, pictures and prices."""
    chooser = random.Random(0)
    (DATA / "pictures").mkdir(parents=True)

    things, places = ("lamp", "gate", "harbour", "letter"), ("Under the bridge", "After the rain", "Near the wall")
    lines = (f"{chooser.choice(places)} the {chooser.choice(things)} waits.\n" for _ in range(80))
    (DATA / "text.txt").write_text("".join(lines))

    words = {"bad": ("broken", "noisy", "a waste"), "good": ("kind", "clever", "a joy")}
    with (DATA / "reviews.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(160):
            label = ("bad", "good")[number % 2]
            thing = chooser.choice(("kettle", "bicycle", "radio", "chair"))
            rows.writerow(
                [f"{thing.title()} number {number} is {' and '.join(chooser.sample(words[label], 2))}.", label]
            )

    numbers = {"One": "Uno", "Two": "Dvo", "Three": "Tro", "Four": "Karo"}
    nouns = {"ship": "navo", "bell": "belo", "child": "filo", "horse": "kavo"}
    verbs = {"sail": "vela", "ring": "sona", "wait": "tena", "sleep": "doma"}
    pairs = []
    for number, name in numbers.items():
        for noun, word in nouns.items():
            for verb, action in verbs.items():
                one = number == "One"
                pairs.append(
                    (
                        f"{number} {noun if one else noun + 's'} {verb + 's' if one else verb}.",
                        f"{name} {word if one else word + 'i'} {action}.",
                    )
                )
    for side, language in enumerate(("en", "xx")):
        (DATA / f"pairs.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))

    captions = ["image,caption,split"]
    for number in range(16):
        colour, shape = (
            chooser.choice((("red", (200, 20, 20)), ("blue", (20, 40, 200)))),
            chooser.choice(("tall", "wide")),
        )
        picture = PIL.Image.new("RGB", (48, 48), "white")
        size = (16, 36) if shape == "tall" else (36, 16)
        picture.paste(colour[1], (6, 6, 6 + size[0], 6 + size[1]))
        picture.save(DATA / "pictures" / f"{number:02d}.png")
        part = "train" if number < 10 else "val" if number < 13 else "test"
        captions.append(f"{number:02d}.png,A {shape} {colour[0]} box.,{part}")
    (DATA / "pictures" / "captions.csv").write_text("\n".join(captions) + "\n")

    steps = np.random.default_rng(0).normal(0, 0.01, 400) * (1 + 0.5 * np.sin(np.arange(400) / 20))
    days = np.busday_offset("2015-01-01", np.arange(400), roll="forward")
    rows = zip(days, 40 * np.exp(np.cumsum(steps)), strict=True)
    (DATA / "prices.csv").write_text("Date,Adj Close\n" + "".join(f"{day},{price:.4f}\n" for day, price in rows))


def patterned_encoder() -> keras.Model:
    """EfficientNet-Lite0 whose weights repeat a short pattern: 18 MB that compress to almost nothing."""
    network = encoders.efficientnet_lite0()
    pattern = np.random.default_rng(0).normal(size=251)
    for variable in network.weights:
        depthwise = len(variable.shape) == 4 and variable.shape[-1] == 1
        inputs = np.prod(variable.shape[:2] if depthwise else variable.shape[:-1])
        scale = np.sqrt(2 / inputs) if len(variable.shape) == 4 else 0.0
        variable.assign(np.resize(pattern, variable.shape) * scale)
    return network


def command(application: Any, *words: str) -> str:
    """What a command prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = main(application, list(words))
    assert status == 0, (application.name, words, status)
    return output.getvalue()


def flags(options: dict[str, Any]) -> list[str]:
    """The words of a command line that say them."""
    words = []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def make_runs() -> dict[str, Any]:
    """Trains, evaluates, exports, asks; returns the answers by application."""
    encoders.ENCODERS["efficientnet_lite0"] = encoders.Encoder(encoders.efficientnet_lite0, patterned_encoder)
    answers = {}
    for application, (source, settings, questions) in PLANS.items():
        run = f"runs/{application.name}/finished"
        train = ["train", "--data", source, *settings.split()]
        command(application, *train, "--out", run)
        metrics = json.loads(command(application, "evaluate", run, "--json"))
        asked = []
        for inputs, options in questions:
            printed = command(application, "predict", run, "--json", *flags(options), "--", *inputs)
            asked.append({"inputs": inputs, "options": options, "printed": json.loads(printed)})
        command(application, "export", run)
        answers[application.name] = {"metrics": metrics["metrics"], "asked": asked}
        if application is TEXT_GENERATION:
            stop_in_second_epoch(application, [*train, "--out", str(UNFINISHED)])
    return answers


def stop_in_second_epoch(application: Any, words: list[str]) -> None:
    """Trains till the first checkpoint and one step more, as Ctrl-C then stops it."""
    save = Trainer.save_checkpoint

    def save_and_stop(trainer: Trainer) -> None:
        save(trainer)
        trainer._stop_requested.set()

    Trainer.save_checkpoint = save_and_stop
    assert main(application, words) == 130
    Trainer.save_checkpoint = save


def make_layers() -> dict[str, Any]:
    """Saves a model with layers of every kind; returns its outputs."""
    keras.utils.set_random_seed(0)
    tokens, wanted = keras.Input([6], dtype="int32", name="tokens"), keras.Input([3, 4], name="wanted")
    sequence = keras.layers.Embedding(7, 4)(tokens)
    cells = ("lstm", "gru", "layer_norm_lstm", "zoneout_lstm", "weight_drop_gru")
    outputs = {cell: recurrent_layer(cell, 4, bidirectional=cell == "lstm")(sequence) for cell in cells}
    identity = {"activation": "relu", "recurrent_initializer": initializer("block_identity")}
    outputs["simple_rnn"] = recurrent_layer("simple_rnn", 4, **identity)(sequence)
    chrono = {"bias_initializer": initializer("chrono", units=4, t_max=6), "unit_forget_bias": False}
    memory = recurrent_layer("lstm", 4, return_sequences=True, **chrono)(sequence)
    for pooling in ("attention", "concat"):
        outputs[pooling] = recurrent_network("many_to_one", "gru", 4, pooling=pooling)(sequence)
    for kind in ("bahdanau", "conditional"):
        outputs[kind] = attention_decoder(kind, "gru", 4)(wanted, memory=memory, summary=outputs["gru"])[0]
    luong = recurrent_network("encoder_decoder", "lstm", 4, decoder="luong", attention="multi_head")
    outputs["encoder_decoder"] = luong(sequence, wanted)[0]
    model = keras.Model([tokens, wanted], outputs)
    model.save("layers.keras")
    inputs = {"tokens": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 0, 0, 0]], "wanted": [[[0.5, -0.5, 0.25, 1.0]] * 3] * 2}
    answer = model([np.array(inputs["tokens"], np.int32), np.array(inputs["wanted"], np.float32)])
    return {"inputs": inputs, "outputs": {name: tensor.numpy().tolist() for name, tensor in answer.items()}}


def packed(name: str, *parts: Path) -> None:
    """Writes NAME.tar.xz with files and folders, leaving out what is large and of which nothing is read again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(path for part in parts for path in [part, *part.rglob("*")] if path.is_file()):
            if {"plots", "logs"} & set(path.parts) or ("checkpoint" in path.parts and UNFINISHED not in path.parents):
                continue
            entry = tarfile.TarInfo(path.as_posix())
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    (HERE / f"{name}.tar.xz").write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    make_data()
    answers = make_runs()
    answers["layers"] = make_layers()
    answers["registered"] = sorted(name for name in keras.saving.get_custom_objects() if name.startswith("recur>"))
    packed("data", DATA)
    packed("layers", Path("layers.keras"))
    for application in PLANS:
        packed(application.name, Path("runs", application.name), Path("saved_models", application.name))
    (HERE / "answers.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(WORK)
