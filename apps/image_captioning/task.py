"""The work of image captioning: images with captions, an encoder and a decoder, trained in one stage or two."""

import dataclasses
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import keras

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.batches import datasets, encoded
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import Album, read_album, without_bad_images
from apps.image_captioning.encoders import encoder
from apps.image_captioning.model import CaptioningModel
from apps.image_captioning.serving import Captioner
from apps.image_captioning.stages import FIRST_STAGE, self_critical_stage
from recur.errors import InputError
from recur.metrics.cross_entropy import SmoothedCrossEntropy, token_metrics
from recur.training.loading import load, read_assets, run_config
from recur.training.runs import Run, open_run
from recur.training.task import Stage, Task

logger = logging.getLogger(__name__)


class ImageCaptioning(Task[CaptioningConfig, Album, CaptionVocabulary]):
    """Photograph in, caption out."""

    assets = CaptionVocabulary
    datasets = staticmethod(datasets)
    serving_module = Captioner
    monitor = "val_nats"

    def read(self, source: str, config: CaptioningConfig) -> Album:
        """Reads images with captions, holds out what parts the data does not have, and decodes every image once."""
        encoder(config.encoder)  # an unknown one is refused before all images are read
        if config.trained_blocks and config.encoder != "efficientnet_lite0":
            raise InputError("only efficientnet_lite0 has blocks to train; leave out `trained_blocks` or `encoder`")
        if config.trained_blocks and config.self_critical_epochs:
            raise InputError("self-critical training trains no encoder; train it first, then begin with `pretrained`")
        album = without_bad_images(read_album(source, config), config.skip_bad)
        for line in album.notes:
            logger.info(line)
        return album

    def fit_assets(self, corpus: Album, config: CaptioningConfig) -> CaptionVocabulary:
        """The words of the train captions, or of the run to begin with."""
        if config.pretrained:
            _check_pretrained(config)
            vocabulary = read_assets(APPLICATION, open_run(APPLICATION.name, config.pretrained))
        else:
            texts = itertools.chain.from_iterable(corpus.train.captions)
            vocabulary = CaptionVocabulary.fit(texts, config.minimum_count)
        if not vocabulary.words:
            raise InputError(f"no word is {config.minimum_count} times in the train captions; lower `minimum_count`")
        for name, part in (("train", corpus.train), ("validation", corpus.validation)):
            captions, kept = sum(map(len, part.captions)), len(encoded(part, vocabulary, config.longest)[1])
            if not kept:
                raise InputError(f"no {name} caption has at most {config.longest} words; raise `longest`")
            if kept < captions:
                logger.info(f"left out of {name}: {captions - kept:,} captions with more than {config.longest} words")
        return vocabulary

    def build(self, config: CaptioningConfig, assets: CaptionVocabulary) -> CaptioningModel:
        """The encoder, and a decoder with attention or without."""
        model = CaptioningModel(config, vocabulary_size=len(assets))
        model.build()
        return model

    def objective(self, config: CaptioningConfig) -> dict[str, Any]:
        """Smoothed cross-entropy; by word the cross-entropy in nats and the share of wrong guesses."""
        return {"loss": SmoothedCrossEntropy(config.label_smoothing), "metrics": token_metrics()}

    def stages(self, corpus: Album, assets: CaptionVocabulary, config: CaptioningConfig) -> Sequence[Stage]:
        """Cross-entropy, where self-critical training follows."""
        if not config.self_critical_epochs or config.pretrained:
            return ()

        def build() -> keras.Model:
            model = self.build(config, assets)
            _give_encoder(model, config)
            return model

        return (dataclasses.replace(super().main(corpus, assets, config), name=FIRST_STAGE, build=build),)

    def main(self, corpus: Album, assets: CaptionVocabulary, config: CaptioningConfig) -> Stage:
        """Self-critical training, or cross-entropy where nothing follows it."""
        if not config.self_critical_epochs:
            return super().main(corpus, assets, config)
        return self_critical_stage(corpus, assets, config, lambda: self.build(config, assets))

    def begin(self, model: keras.Model, config: CaptioningConfig, run: Run) -> None:
        """Gives the encoder the weights that it learnt on ImageNet, or all layers those of the training before."""
        if config.pretrained:
            pretrained = load(APPLICATION, open_run(APPLICATION.name, config.pretrained))
            model.set_weights(pretrained.model.get_weights())
        elif config.self_critical_epochs:
            model.set_weights(keras.saving.load_model(run.stage(FIRST_STAGE).model).get_weights())
        else:
            _give_encoder(model, config)


def _check_pretrained(config: CaptioningConfig) -> None:
    """Refuses a run to begin with whose model is another."""
    pretrained = run_config(APPLICATION, config.pretrained)
    for name in ("encoder", "attention", "cell", "embedding_units", "units", "layers"):
        wanted, there = getattr(config, name), getattr(pretrained, name)
        if wanted != there:
            raise InputError(f"{config.pretrained} has `{name}` {there} and not {wanted}; say the same")


def _give_encoder(model: keras.Model, config: CaptioningConfig) -> None:
    """Gives the encoder the weights that it learnt on ImageNet."""
    model.encoder.set_weights(encoder(config.encoder).pretrained().get_weights())


TASK = ImageCaptioning()
