"""What `evaluate` says: the model and its baselines on the same images, and the pictures."""

import sys
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning import metrics, plots
from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.baselines import fit_retrieval, most_frequent_caption
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import Album, Images, Part
from apps.image_captioning.features import image_features, mean_features
from apps.image_captioning.images import decoded
from apps.image_captioning.plots import AttentionMaps
from apps.image_captioning.serving import TOGETHER, Captioner
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained

MODEL = "this model"


def evaluate(trained: Trained[CaptioningConfig, CaptionVocabulary], corpus: Album, run: Run) -> Evaluation:
    """BLEU, ROUGE-L, chrF and CIDEr-D on the test part, beside the most frequent caption and retrieval.

    What is measured is what is served. The baselines are fitted on the train part; the retrieval knows images that look
    alike by the features of the model's own encoder.
    """
    test, config, captioner = corpus.test, trained.config, Captioner(trained)
    said = {MODEL: caption_all(captioner, test.images)} | baseline_captions(corpus, trained.model.encoder)
    captions = said[MODEL]
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[: plots.SHEET])
    images = [test.images[index] for index in drawn]
    plots.contact_sheet(decoded(images), [captions[index] for index in drawn], run.plots / "contact_sheet.png")
    if maps := attention_maps(captioner, images[: plots.MAPS]):
        plots.attention_plot(maps, run.plots / "attention.png")
    measured = {name: measure(texts, test) for name, texts in said.items()}
    without_penalty = [values.pop("bleu4_no_penalty") for values in measured.values()]
    return Evaluation(
        split="test",
        examples=len(test),
        metrics=measured.pop(MODEL),
        baselines=measured,
        details={
            "decoding": {
                "beam_width": config.beam_width,
                "length_penalty": config.length_penalty,
                "no_repeat_ngram": config.no_repeat_ngram,
            },
            "bleu4_no_penalty": without_penalty[0],
            "diversity": metrics.diversity(captions, corpus.train.captions, len(trained.assets.words)),
            "exact_match_by_group": {
                name: metrics.exact_match(texts, test.captions, test.groups) for name, texts in said.items()
            },
            "signatures": metrics.signatures(test.captions),
            **metrics.examples([file.name for file in test.images.files], captions, test.captions),
        },
    )


def caption_all(captioner: Captioner, images: Sequence[bytes]) -> list[str]:
    """Captions, as `predict` gives them.

    Args:
        captioner: The serving module of a run.
        images: Contents of files.
    """
    captions: list[str] = []
    with tqdm.tqdm(total=len(images), desc="describing", unit="image", file=sys.stderr, delay=2, disable=None) as bar:
        for begin in range(0, len(images), TOGETHER):
            batch = [images[index] for index in range(begin, min(begin + TOGETHER, len(images)))]
            captions += [caption.decode() for caption in captioner.caption(tf.constant(batch))["caption"].numpy()]
            bar.update(len(batch))
    return captions


def attention_maps(captioner: Captioner, images: Sequence[bytes]) -> list[AttentionMaps]:
    """Images to draw with the attention to them; none of those of which nothing was said, or without attention."""
    if "attention" not in captioner.signatures:
        return []
    answer = {name: value.numpy() for name, value in captioner.attention(tf.constant(list(images))).items()}
    maps = []
    for pixels, words, weights in zip(decoded(images), answer["words"], answer["weights"], strict=True):
        if said := [word.decode() for word in words if word]:
            maps.append(AttentionMaps(pixels, said, weights[: len(said)]))
    return maps


def baseline_captions(album: Album, encoder: keras.Model) -> dict[str, list[str]]:
    """Captions of the test images without a decoder: the most frequent one, and those of images that look alike."""

    def features(images: Images) -> np.ndarray:
        return mean_features(image_features(images, images.fingerprint, encoder))

    train, validation = album.train, album.validation
    retrieval = fit_retrieval(features(train.images), train.captions, features(validation.images), validation.captions)
    return {
        "most_frequent": [most_frequent_caption(train.captions)] * len(album.test),
        "retrieval": retrieval.retrieve(features(album.test.images)),
    }


def measure(captions: Sequence[str], part: Part) -> dict[str, float]:
    """Metrics of captions, as `metrics.scores`.

    Of a part in groups also the share of exact matches, from 0 to 1, where all was seen in training and where a
    combination was not.
    """
    values = metrics.scores(captions, part.captions)
    if part.groups:
        seen = ["seen" if group == "seen" else "unseen" for group in part.groups]
        matches = metrics.exact_match(captions, part.captions, seen)
        values |= {f"exact_match_{name}": share for name, share in matches.items() if name != "all"}
    return values
