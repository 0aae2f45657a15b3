"""The classifier and the language model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.model import (
    ReviewLanguageModel,
    SentimentClassifier,
    log_uniform_sample,
    log_zipf,
    perturb,
)
from apps.sentiment_analysis.stages import give

pytestmark = pytest.mark.slow

SETTINGS = {
    "vocabulary_size": 50,
    "classes": 2,
    "embedding_units": 6,
    "cell": "lstm",
    "units": 5,
    "layers": 1,
    "bidirectional": True,
    "pooling": "max",
    "word_dropout": 0.1,
    "embedding_dropout": 0.1,
    "dropout": 0.2,
}


def classifier(**others) -> SentimentClassifier:
    keras.utils.set_random_seed(0)
    model = SentimentClassifier(**SETTINGS | others)
    model.build()
    return model


def language_model(**others) -> ReviewLanguageModel:
    names = ("vocabulary_size", "embedding_units", "cell", "units", "bidirectional")
    settings = {name: SETTINGS[name] for name in names} | {"dropout": 0.0, "sampled": 8, "batch_size": 3}
    model = ReviewLanguageModel(**settings | others)
    model.build()
    return model


@pytest.mark.parametrize("pooling", ["last", "max", "mean", "attention"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "none"])
def test_padding_and_batch_mates_change_nothing(cell, pooling):
    model = classifier(cell=cell, pooling=pooling)
    rows = [[3, 4, 5], [7], [8, 9, 10, 11, 12, 13]]
    padded = np.array([row + [0] * (9 - len(row)) for row in rows], np.int32)
    together = model(padded).numpy()
    alone = np.concatenate([model(np.array([row], np.int32)).numpy() for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("adversarial", [0.0, 0.05])
def test_a_tiny_set_is_learnt_by_heart(adversarial):
    model = classifier(adversarial=adversarial, dropout=0.0, word_dropout=0.0, embedding_dropout=0.0)
    ids = np.random.default_rng(0).integers(1, 50, (16, 8)).astype(np.int32)
    labels = np.eye(2)[np.arange(16) % 2]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, metrics=["accuracy"], jit_compile=False)
    history = model.fit(ids, labels, batch_size=16, epochs=60, verbose=0).history
    assert history["loss"][-1] < 0.05
    assert history["accuracy"][-1] == 1


def test_the_perturbation_raises_the_loss_and_has_the_size_asked_for():
    model = classifier()
    ids, labels = np.array([[3, 4, 5, 0], [7, 8, 9, 10]], np.int32), np.array([0, 1])
    embedded = model.embed(ids)

    def loss(embedded):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.classify(embedded, ids != 0))

    with tf.GradientTape() as tape:
        tape.watch(embedded)
        before = loss(embedded)
    step = perturb(embedded, tape.gradient(before, embedded), 0.01)
    np.testing.assert_allclose(tf.norm(step, axis=[1, 2]), 0.01 * tf.norm(embedded, axis=[1, 2]), rtol=1e-5)
    assert (loss(embedded + step) > before).numpy().all()


def test_a_saved_model_is_the_same_model(tmp_path):
    model = classifier()
    model.save(tmp_path / "model.keras")
    ids = np.array([[3, 4, 5]], np.int32)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(ids), model(ids))


def test_the_settings_of_earlier_versions_are_understood():
    earlier = {name: value for name, value in SETTINGS.items() if name != "pooling"} | {"pooling_kind": "mean"}
    model = SentimentClassifier.from_config(earlier | {"adversarial": 0.1})
    assert (model.config.pooling, model.config.adversarial, model.config.vocabulary_size) == ("mean", 0.1, 50)
    names = ("vocabulary_size", "embedding_units", "cell", "units", "bidirectional")
    earlier = {name: SETTINGS[name] for name in names} | {"dropout": 0.3, "sampled": 8, "streams": 3}
    config = ReviewLanguageModel.from_config(earlier).config
    assert (config.dropout, config.sampled, config.batch_size, config.vocabulary_size) == (0.3, 8, 3, 50)


def test_of_the_vocabulary_the_size_that_it_has_is_saved():
    model = SentimentClassifier(SentimentConfig(vocabulary_size=30_000), vocabulary_size=50, classes=3)
    again = SentimentClassifier.from_config(model.get_config())
    assert (again.embedding.input_dim, again.head.units) == (50, 3)
    model = ReviewLanguageModel(SentimentConfig(dropout=0.2, pretraining_dropout=0.1), vocabulary_size=50)
    again = ReviewLanguageModel.from_config(model.get_config())
    assert (again.embedding.input_dim, again.output_dropout.rate) == (50, 0.2)


def test_the_language_model_carries_its_state_and_gives_its_layers():
    model = language_model()
    symbols = np.random.default_rng(0).integers(1, 50, (3, 8)).astype(np.int32)
    goes_on = {"forward": symbols[:, 4:], "backward": symbols[:, 4:], "carry": np.ones(3, np.float32)}
    begins = {"forward": symbols, "backward": symbols, "carry": np.zeros(3, np.float32)}
    whole = model(begins).numpy()
    model({name: value[:, :4] if value.ndim > 1 else value for name, value in begins.items()})
    np.testing.assert_allclose(model(goes_on).numpy(), whole[:, :, 4:], atol=1e-6)

    target = classifier()
    give(model, target)
    embedded = target.embedding(symbols)
    outputs, _ = target.reader.encoder(embedded)
    np.testing.assert_allclose(outputs[..., :5], whole[0], atol=1e-5)
    backward = model(begins | {"backward": symbols[:, ::-1]}).numpy()[1][:, ::-1]
    np.testing.assert_allclose(outputs[..., 5:], backward, atol=1e-5)


def test_a_language_model_of_another_size_does_not_fit():
    with pytest.raises(ValueError, match="shape"):
        give(language_model(units=7), classifier())


def test_before_training_words_are_as_frequent_as_zipf_has_them():
    model = language_model()
    words = model.config.vocabulary_size
    known = tf.random.stateless_normal([2, 3, 4, model.config.units], [0, 1])
    losses = [
        float(model.compute_loss(None, tf.fill([2, 3, 4], word), 0 * known, training=False)) for word in range(words)
    ]
    assert losses == sorted(losses)
    np.testing.assert_allclose(np.sum(np.exp(-np.array(losses))), 1, rtol=1e-5)
    np.testing.assert_allclose(log_zipf(words), -np.array(losses), rtol=1e-4)


def test_the_sample_follows_zipf_and_the_sampled_loss_approaches_the_whole():
    size, count = 1000, 200_000
    drawn, _, expected = (
        part.numpy() for part in log_uniform_sample(tf.constant([[0]], tf.int64), count, size, [1, 2])
    )
    found = np.bincount(drawn, minlength=size)
    np.testing.assert_allclose(found[[0, 9]], [expected[drawn == word][0] for word in (0, 9)], rtol=0.05)
    assert abs(found[500:].sum() / (count * np.log(1001 / 501) / np.log(1001)) - 1) < 0.05

    model = language_model(sampled=2000)
    symbols = np.random.default_rng(1).integers(1, 50, (3, 8)).astype(np.int32)
    inputs = {"forward": symbols, "backward": symbols, "carry": np.zeros(3, np.float32)}
    targets = np.stack([symbols, symbols])
    known = model(inputs)
    whole = float(model.compute_loss(inputs, targets, known, training=False))
    sampled = float(model.compute_loss(inputs, targets, known, training=True))
    assert sampled == pytest.approx(whole, rel=0.05)
