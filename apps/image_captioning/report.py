"""What `evaluate` says: the model and its baselines on the same images, and the pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apps.image_captioning import evaluation, plots
from apps.image_captioning.baselines import fit_retrieval, most_frequent_caption
from apps.image_captioning.pictures import Album, Part, mean_features
from apps.image_captioning.prediction import caption_all, looked_at, pixels_of
from apps.image_captioning.serving import Captioner
from recur.training.task import Evaluation

MODEL = "this model"


def evaluate(
    captioner: Captioner,
    encoder: Any,
    album: Album,
    vocabulary_size: int,
    plots_folder: Path,
    details: Mapping[str, Any],
) -> Evaluation:
    """Measures captions of the test part beside the baselines, which are fitted on the train part.

    Args:
        captioner: The serving module: what is measured is what is served.
        encoder: Its encoder, by whose features the retrieval finds images that look alike.
        album: The data.
        vocabulary_size: Words that the model can say.
        plots_folder: Where `attention.png` and `contact_sheet.png` go.
        details: What else there is to say: how was decoded, say.
    """
    test = album.test
    captions = caption_all(captioner, test.pictures)
    baselines = baseline_captions(album, encoder)
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[: plots.SHEET])
    images = [test.pictures[index] for index in drawn]
    plots.contact_sheet(pixels_of(images), [captions[index] for index in drawn], plots_folder / "contact_sheet.png")
    if looked := looked_at(captioner, images[: plots.MAPS]):
        plots.attention_plot(looked, plots_folder / "attention.png")
    return Evaluation(
        "test",
        len(test),
        measured(captions, test),
        {name: measured(each, test) for name, each in baselines.items()},
        {
            **details,
            "bleu4_no_penalty": evaluation.scores(captions, test.captions)["bleu4_no_penalty"],
            "diversity": evaluation.diversity(captions, album.train.captions, vocabulary_size),
            "exact_match_by_group": {
                name: evaluation.exact_match(each, test.captions, test.groups)
                for name, each in {MODEL: captions, **baselines}.items()
            },
            "signatures": evaluation.signatures(test.captions),
            **evaluation.examples(test.pictures.names, captions, test.captions),
        },
    )


def baseline_captions(album: Album, encoder: Any) -> dict[str, list[str]]:
    """Captions of the test images without a decoder: the most frequent one, and those of images that look alike."""
    train, validation, test = (mean_features(part, encoder) for part in (album.train, album.validation, album.test))
    retrieval = fit_retrieval(train, album.train.captions, validation, album.validation.captions)
    return {
        "most_frequent": [most_frequent_caption(album.train.captions)] * len(album.test),
        "retrieval": retrieval.retrieve(test),
    }


def measured(captions: Sequence[str], part: Part) -> dict[str, float]:
    """Metrics of captions.

    Those that the contract names; of a part in groups also the share of exact matches, from 0 to 1, where all was seen
    in training and where a combination was not.
    """
    found = evaluation.scores(captions, part.captions)
    found = {name: value for name, value in found.items() if name != "bleu4_no_penalty"}
    if part.groups:
        seen = ["seen" if group == "seen" else "unseen" for group in part.groups]
        matches = evaluation.exact_match(captions, part.captions, seen)
        found |= {f"exact_match_{name}": share for name, share in matches.items() if name != "all"}
    return found
