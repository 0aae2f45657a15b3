"""Image captioning as the contract has it."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.image_captioning.config import PRESETS, AnswerOptions, CaptioningConfig
from recur.errors import InputError
from recur.training import application, runs
from recur.training.application import Batching, Headline, Shapes
from recur.training.task import Datasets, Evaluation, Stage, Trained

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.image_captioning.assets import CaptioningAssets
    from apps.image_captioning.pictures import Album
    from apps.image_captioning.serving import Captioner
    from recur.training.runs import Run

logger = logging.getLogger(__name__)


SPLIT_SEED = 0  # not the run's: runs with different seeds are then measured on the same images


class ImageCaptioning(application.Application[CaptioningConfig, "Album", "CaptioningAssets"]):
    """Photograph in, caption out."""

    name = "image_captioning"
    summary = "photograph in, caption out: an image encoder, and an LSTM that attends to its regions"
    options = AnswerOptions
    batching = Batching(rows=8, wait_microseconds=5_000)  # more at once are no more a second
    monitor = "val_nats"
    presets = PRESETS
    demo_seconds = 150.0
    headline = Headline(
        "bleu4",
        higher_is_better=True,
        shortfall="Training was too short to write these scenes' sentences; `default` on Flickr8k (see the README) is "
        "ahead of retrieval.",
    )

    @functools.cached_property
    def demo_inputs(self) -> Sequence[str]:
        """Paths of three scenes of the sample that nothing is trained on, painted where cached arrays are."""
        from apps.image_captioning.scenes import example_files

        return example_files(3)

    def read(self, source: str, config: CaptioningConfig) -> "Album":
        """Reads images with captions, holds out what parts the data does not have, and decodes every image once."""
        from apps.image_captioning.data import read_corpus
        from apps.image_captioning.encoders import encoder
        from apps.image_captioning.photographs import Columns
        from apps.image_captioning.pictures import checked_album

        encoder(config.encoder)  # an unknown one is refused before all images are read
        if config.trained_blocks and config.encoder != "efficientnet_lite0":
            raise InputError("only efficientnet_lite0 has blocks to train; leave out --trained-blocks or --encoder")
        if config.trained_blocks and config.self_critical_epochs:
            raise InputError("self-critical training trains no encoder; train it first, then begin with --pretrained")
        columns = Columns(config.image_column, config.caption_column, config.split_column)
        corpus = read_corpus(source, config.validation_fraction, config.test_fraction, SPLIT_SEED, columns)
        album = checked_album(corpus, config.skip_bad)
        for line in album.notes:
            logger.info(line)
        return album

    def fit_assets(self, corpus: "Album", config: CaptioningConfig) -> "CaptioningAssets":
        """The words of the train captions, or of the run to begin with."""
        from apps.image_captioning.assets import CaptioningAssets
        from apps.image_captioning.batches import encoded
        from apps.image_captioning.captions import CaptionVocabulary
        from recur.training.loading import read_assets

        texts = (text for each in corpus.train.captions for text in each)
        if config.pretrained:
            self._check_pretrained(config)
            assets = read_assets(self, runs.open_run(self.name, config.pretrained))
        else:
            assets = CaptioningAssets(CaptionVocabulary.fit(texts, config.minimum_count))
        if not assets.vocabulary.words:
            raise InputError(f"no word is {config.minimum_count} times in the train captions; lower --minimum-count")
        for name, part in (("train", corpus.train), ("validation", corpus.validation)):
            captions, kept = sum(map(len, part.captions)), len(encoded(part, assets.vocabulary, config.longest)[1])
            if not kept:
                raise InputError(f"no {name} caption has at most {config.longest} words; raise --longest")
            if kept < captions:
                logger.info(f"left out of {name}: {captions - kept:,} captions with more than {config.longest} words")
        return assets

    def write_assets(self, assets: "CaptioningAssets", folder: Path) -> None:
        """Writes `words.txt`."""
        assets.write(folder)

    def read_assets(self, folder: Path) -> "CaptioningAssets":
        """Reads it."""
        from apps.image_captioning.assets import CaptioningAssets

        return CaptioningAssets.read(folder)

    def datasets(self, corpus: "Album", assets: "CaptioningAssets", config: CaptioningConfig) -> Datasets:
        """Batches of captions with the features of their images, which are computed once."""
        from apps.image_captioning.batches import captioning_datasets, features_as_computed
        from apps.image_captioning.views import pixels_as_seen

        if config.trained_blocks:
            sight = pixels_as_seen(corpus.train, corpus.validation, config.mirror)
        else:
            sight = features_as_computed(*self._features(corpus, config))
        return captioning_datasets(corpus, sight, assets.vocabulary, config)

    def stages(self, corpus: "Album", assets: "CaptioningAssets", config: CaptioningConfig) -> Sequence[Stage]:
        """Cross-entropy, where self-critical training follows."""
        if not config.self_critical_epochs or config.pretrained:
            return ()
        from apps.image_captioning.refinement import FIRST_STAGE

        def build() -> "keras.Model":
            model = self.build(config, assets)
            self._give_encoder(model, config)
            return model

        return (dataclasses.replace(super().main(corpus, assets, config), name=FIRST_STAGE, build=build),)

    def main(self, corpus: "Album", assets: "CaptioningAssets", config: CaptioningConfig) -> Stage:
        """Self-critical training, or cross-entropy where nothing follows it."""
        if not config.self_critical_epochs:
            return super().main(corpus, assets, config)
        from apps.image_captioning.refinement import refinement

        return refinement(
            corpus,
            assets,
            config,
            self._settings(config, assets),
            lambda: self.build(config, assets),
            lambda: self._features(corpus, config),
        )

    def build(self, config: CaptioningConfig, assets: "CaptioningAssets") -> "keras.Model":
        """The encoder, and a decoder with attention or without."""
        from apps.image_captioning.model import CaptioningModel

        model = CaptioningModel(**self._settings(config, assets))
        model.build()
        return model

    def begin(self, model: "keras.Model", config: CaptioningConfig, run: "Run") -> None:
        """Gives the encoder the weights that it learnt on ImageNet, or all layers those of the training before."""
        import keras

        from apps.image_captioning.refinement import FIRST_STAGE
        from recur.training.loading import load

        if config.pretrained:
            model.set_weights(load(self, runs.open_run(self.name, config.pretrained)).model.get_weights())
        elif config.self_critical_epochs:
            model.set_weights(keras.saving.load_model(run.stage(FIRST_STAGE).model).get_weights())
        else:
            self._give_encoder(model, config)

    def _check_pretrained(self, config: CaptioningConfig) -> None:
        """Refuses a run to begin with whose model is another."""
        from recur.training.loading import run_config

        pretrained = run_config(self, config.pretrained)
        for name in ("encoder", "attention", "cell", "embedding_units", "units", "layers"):
            wanted, found = getattr(config, name), getattr(pretrained, name)
            if wanted != found:
                flag = name.replace("_", "-")
                raise InputError(f"{config.pretrained} has {flag} {found} and not {wanted}; say the same --{flag}")

    def _give_encoder(self, model: "keras.Model", config: CaptioningConfig) -> None:
        """Gives the encoder the weights that it learnt on ImageNet."""
        from apps.image_captioning.encoders import encoder

        model.encoder.set_weights(encoder(config.encoder).pretrained().get_weights())

    def _settings(self, config: CaptioningConfig, assets: "CaptioningAssets") -> dict[str, Any]:
        """Arguments of the model."""
        names = (
            *("encoder", "trained_blocks", "attention", "cell", "embedding_units", "units", "layers"),
            *("attention_penalty", "scheduled_sampling", "word_dropout"),
            *("embedding_dropout", "context_dropout", "output_dropout"),
        )
        return {"vocabulary_size": len(assets.vocabulary)} | {name: getattr(config, name) for name in names}

    def _features(self, corpus: "Album", config: CaptioningConfig) -> "Sequence[np.ndarray]":
        """What the encoder to begin with sees in the images of train and of validation, computed once."""
        from apps.image_captioning.encoders import encoder
        from apps.image_captioning.pictures import part_features
        from recur.training.loading import load

        if config.pretrained:
            looking = load(self, runs.open_run(self.name, config.pretrained)).model.encoder
        else:
            looking = encoder(config.encoder).pretrained()
        return [part_features(part, looking) for part in (corpus.train, corpus.validation)]

    def objective(self, config: CaptioningConfig) -> dict[str, Any]:
        """Smoothed cross-entropy; by word the cross-entropy in nats and the share of wrong guesses."""
        from recur.metrics.cross_entropy import SmoothedCrossEntropy, token_metrics

        return {"loss": SmoothedCrossEntropy(config.label_smoothing), "metrics": token_metrics()}

    def evaluate(self, trained: Trained, corpus: "Album", run: "Run") -> Evaluation:
        """BLEU, ROUGE-L, chrF and CIDEr-D beside the most frequent caption and retrieval."""
        from apps.image_captioning.report import evaluate

        names = ("beam_width", "length_penalty", "no_repeat_ngram")
        return evaluate(
            self.serving_module(trained),
            trained.model.encoder,
            corpus,
            len(trained.assets.vocabulary.words),
            run.plots,
            {"decoding": {name: getattr(trained.config, name) for name in names}},
        )

    def serving_module(self, trained: Trained) -> "Captioner":
        """From the contents of image files to captions, scores and attention."""
        from apps.image_captioning.serving import Captioner

        return Captioner(trained.model, trained.assets, trained.config)

    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """A plain image for each signature that every export has."""
        import numpy as np
        import tensorflow as tf

        plain = tf.io.encode_png(tf.fill([224, 224, 3], tf.constant(127, tf.uint8))).numpy()
        images = np.array([plain], dtype=object)
        return {"serving_default": {"image_bytes": images}, "n_best": {"image_bytes": images}}

    def request(
        self, inputs: Sequence[str], options: AnswerOptions, shapes: Shapes
    ) -> "tuple[str, Mapping[str, np.ndarray]]":
        """The contents of files for `serving_default`, or for `n_best`; what is no image `records` refuses."""
        import numpy as np

        from apps.image_captioning.files import read_file

        images = np.array([read_file(Path(path)) for path in inputs], dtype=object)
        return ("n_best" if options.n_best else "serving_default"), {"image_bytes": images}

    def records(
        self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: AnswerOptions
    ) -> list[dict[str, Any]]:
        """Image, caption and score; or image, captions and scores."""
        from apps.image_captioning.answers import records

        return records(inputs, outputs)

    def show(self, answer: dict[str, Any]) -> str:
        """The image and its caption; several captions with their scores."""
        from apps.image_captioning.answers import shown

        return shown(answer)


APPLICATION = ImageCaptioning()
