"""A sentence gets the same translation from predict, the export and the C++ loader, whatever is beside it."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from apps.translation import serving
from apps.translation.application import APPLICATION
from apps.translation.evaluate import attended, translate_all
from apps.translation.serving import Translator, longest_translation
from recur.cli import commands
from recur.serving.saved_model import must_compile_functions, operations
from recur.text.subwords import END
from recur.training import loading
from recur.training.runs import Run
from recur.training.task import Trained
from tests.shared.recur.serving.asking import assert_asked_as_predicted
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

TEXTS = [
    b"The red cat sees the old dog.",
    b"",
    b"The fish follows the small horse.",
    b"   ",
    b"?!...",
    "日本語 😀 żółć".encode(),
    b"\xff\xfe broken \x00 bytes\tand tabs",
    b"The quiet bird hears the fish. " * 40,
]


@pytest.fixture(scope="module")
def trained(tiny_translation_run):
    return loading.load(APPLICATION, Run(tiny_translation_run))


@pytest.fixture(scope="module")
def exported(tiny_translation_run, tmp_path_factory):
    return commands.export(APPLICATION, str(tiny_translation_run), tmp_path_factory.mktemp("saved_models"))


def test_the_grammar_is_learnt(tiny_translator):
    answer = translate_all(tiny_translator, ["The red cat sees the old dog.", "The fish follows the horse."])
    assert answer == ["Lo gato ruba lo perlo viela vida.", "Lo pesko lo kavalo seka."]


def test_an_answer_is_its_rows_alone(tiny_translator):
    together = tiny_translator.translate(tf.constant(TEXTS))
    for row, text in enumerate(TEXTS):
        alone = tiny_translator.translate(tf.constant([text]))
        assert alone["translation"][0] == together["translation"][row]
        np.testing.assert_allclose(alone["score"][0], together["score"][row], atol=1e-5)
    assert together["translation"].numpy()[[1, 3]].tolist() == [b"", b""]
    assert together["score"].numpy()[[1, 3]].tolist() == [0, 0]
    for text in together["translation"].numpy():
        text.decode()


def test_a_long_text_is_translated_in_parts_and_to_its_end(tiny_translator):
    answer = tiny_translator.translate(tf.constant(TEXTS[-1:]))["translation"].numpy()[0].decode()
    assert answer.count("avio") >= 30


def test_some_parts_at_a_time_change_nothing(trained, tiny_translator, monkeypatch):
    monkeypatch.setattr(serving, "PARTS", 3)
    module = Translator(trained)
    for ask, expected in ((module.translate, tiny_translator.translate), (module.n_best, tiny_translator.n_best)):
        some, whole = ask(tf.constant(TEXTS)), expected(tf.constant(TEXTS))
        for name, values in whole.items():
            if values.dtype == tf.string:
                assert some[name].numpy().tolist() == values.numpy().tolist()
            else:
                np.testing.assert_allclose(some[name], values, atol=1e-5)


@pytest.mark.parametrize("signature", ["translate", "n_best", "attention"])
def test_no_text_and_empty_texts_are_answered(tiny_translator, signature):
    for texts in ([], [b""], [b"", b" "]):
        translated = getattr(tiny_translator, signature)(tf.constant(texts, tf.string))
        assert {value.shape[0] for value in translated.values()} == {len(texts)}


def test_the_best_of_several_is_the_answer(tiny_translator):
    translated = tiny_translator.n_best(tf.constant(TEXTS[:3]))
    single = tiny_translator.translate(tf.constant(TEXTS[:3]))
    assert translated["translations"].shape == translated["scores"].shape == (3, 3)
    assert translated["translations"][:, 0].numpy().tolist() == single["translation"].numpy().tolist()
    np.testing.assert_allclose(translated["scores"][:, 0], single["score"], atol=1e-6)
    assert len({*translated["translations"].numpy()[0].tolist()}) == 3
    assert (np.diff(translated["scores"].numpy(), axis=1) <= 0).all()


def test_attention_is_where_the_words_are(tiny_translator):
    ((source, tokens, weights),) = attended(tiny_translator, ["The red cat sees the old dog."])
    assert "".join(source).replace("\u2581", " ").replace("</s>", "").strip() == "The red cat sees the old dog."
    assert "".join(tokens).replace("\u2581", " ").strip() == "Lo gato ruba lo perlo viela vida."
    assert weights.shape == (len(tokens), len(source))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_several_models_are_one_with_their_mean_probability(trained, tiny_translator):
    twice = Translator(dataclasses.replace(trained, others=[trained.model]))
    answer, single = (module.translate(tf.constant(TEXTS[:3])) for module in (twice, tiny_translator))
    assert answer["translation"].numpy().tolist() == single["translation"].numpy().tolist()
    np.testing.assert_allclose(answer["score"], single["score"], atol=1e-5)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "settings",
    [
        {"decoder": "bahdanau", "cell": "lstm"},
        {"decoder": "luong", "input_feeding": True, "encoder_layers": 2},
        {"decoder": "luong", "attention": "multi_head", "decoder_layers": 2},
        {"decoder": "conditional", "cell": "lstm", "attention": "luong_general"},
    ],
    ids=str,
)
def test_every_network_can_translate(trained, settings):
    config = dataclasses.replace(trained.config, units=8, embedding_units=8, beam_width=2, **settings)
    module = Translator(Trained(config, trained.assets, APPLICATION.task.build(config, trained.assets)))
    answer = module.attention(tf.constant(["The cat sees the dog."]))
    written = (answer["tokens"].numpy() != b"").astype(np.float32)
    np.testing.assert_allclose(tf.reduce_sum(answer["weights"], axis=2), written, atol=1e-4)


@pytest.mark.usefixtures("eagerly")
def test_sentences_without_a_translation_are_not_drawn(trained):
    model = trained.model
    kept = model.softmax_bias.numpy()
    model.softmax_bias.assign(kept + 100 * (np.arange(len(kept)) == END))
    module = Translator(trained)
    assert attended(module, ["cat dog", ""]) == []
    assert translate_all(module, ["cat dog", ""]) == ["", ""]
    model.softmax_bias.assign(kept)


@pytest.mark.usefixtures("eagerly")
def test_an_unknown_word_is_copied_from_where_the_attention_is(trained):
    model = trained.model
    kept = model.softmax_bias.numpy()
    model.softmax_bias.assign(kept + 100 * (np.arange(len(kept)) == 1))  # it says that it knows no word
    module = Translator(trained)  # which its functions do not hold
    answer = module.translate(tf.constant(["cat dog"]))["translation"].numpy()[0].decode()
    model.softmax_bias.assign(kept)
    assert answer
    assert set(answer.replace(" ", "")) <= set("catdog")


def test_an_export_answers_in_the_c_loader_as_predict_does(exported, tiny_translator):
    assert not must_compile_functions(exported)
    assert not {name for name in operations(exported) if "PyFunc" in name}
    with NativeSavedModel(exported) as served:
        assert set(served.signatures) == {"serving_default", "n_best", "attention"}
        for texts in (TEXTS, TEXTS[:1]):
            translated, expected = served.run({"text": texts}), tiny_translator.translate(tf.constant(texts))
            assert translated["translation"].tolist() == expected["translation"].numpy().tolist()
            np.testing.assert_allclose(translated["score"], expected["score"], atol=1e-5)
        several = served.run({"text": TEXTS[:3]}, "n_best")
        expected = tiny_translator.n_best(tf.constant(TEXTS[:3]))
        assert several["translations"].tolist() == expected["translations"].numpy().tolist()
        looked = served.run({"text": TEXTS[:3]}, "attention")
        np.testing.assert_allclose(
            looked["weights"], tiny_translator.attention(tf.constant(TEXTS[:3]))["weights"], atol=1e-5
        )


def test_predict_translates_line_by_line(translation, tiny_translation_run, tiny_translator):
    lines = [text.decode() for text in (TEXTS[0], TEXTS[1], TEXTS[2])]
    answer = translation("predict", tiny_translation_run, stdin="\n".join(lines).encode() + b"\n")
    assert answer.status == 0
    assert answer.output.split("\n")[:3] == translate_all(tiny_translator, lines)
    answer = translation("predict", tiny_translation_run, "--json", "--n-best", lines[0])
    translated = json.loads(answer.output)
    assert "translations" in json.dumps(translated)


def test_limits_leave_room():
    assert longest_translation(tf.constant([1, 10])).numpy().tolist() == [11, 25]


def test_a_server_is_asked_as_predict_answers(tiny_translator, exported, capsys):
    inputs = [text.decode("utf-8", "surrogateescape") for text in TEXTS]
    assert_asked_as_predicted(APPLICATION, tiny_translator, exported, inputs, capsys)
    assert_asked_as_predicted(APPLICATION, tiny_translator, exported, inputs[:3], capsys, "--n-best", n_best=True)
