"""IBM Model 1 finds the words of a toy language; the dictionary writes them as the language does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.translation import baselines
from apps.translation.baselines import NULL, copy_source, fit_dictionary, ibm_model_1

SENTENCES = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@st.composite
def pairs_of_sentences(draw):
    targets = st.lists(st.integers(0, 5), min_size=1, max_size=6)
    return draw(st.lists(st.tuples(SENTENCES, targets), min_size=1, max_size=12))


def toy(count, seed=0):
    """Sentences of invented words, and each word turned round, in another order."""
    chooser = np.random.default_rng(seed)
    words = ["abc", "deg", "hik", "lmo", "pqu", "rst", "vwx", "yza", "bdf", "ceh"]
    sources = [list(chooser.choice(words, chooser.integers(2, 6), replace=False)) for _ in range(count)]
    targets = [[word[::-1] for word in chooser.permutation(source)] for source in sources]
    return words, [" ".join(source) for source in sources], [" ".join(target) for target in targets]


def test_a_planted_dictionary_is_found():
    words, sources, targets = toy(300)
    dictionary = fit_dictionary(sources, targets, "en", "de")
    assert dictionary.translations == {word: word[::-1] for word in words}
    assert dictionary.translate(["Abc deg newword 7.", ""]) == ["Cba ged newword 7.", ""]


@settings(deadline=None)
@given(pairs_of_sentences())
def test_the_likelihood_never_falls_and_probabilities_add_up(pairs):
    lexicon = ibm_model_1(pairs, iterations=12)
    assert (np.diff(lexicon.log_likelihoods) >= -1e-9).all()
    assert np.isfinite(lexicon.probabilities).all()
    np.testing.assert_allclose(np.bincount(lexicon.sources, lexicon.probabilities)[np.unique(lexicon.sources)], 1.0)


def test_one_iteration_by_hand():
    # das haus / the house and das / the. At first all are equal: of NULL, das and haus, in the first pair each takes a
    # third of each target word, in the second NULL and das a half of "the".
    lexicon = ibm_model_1([([1, 2], [0, 1]), ([1], [0])], iterations=1)
    entries = zip(lexicon.sources.tolist(), lexicon.targets.tolist(), lexicon.probabilities.tolist(), strict=True)
    by_pair = {(source, target): value for source, target, value in entries}
    the, house = 1 / 3 + 1 / 2, 1 / 3
    assert by_pair[NULL, 0] == pytest.approx(the / (the + house))
    assert by_pair[1, 1] == pytest.approx(house / (the + house))
    assert by_pair[2, 0] == pytest.approx(1 / 2)
    assert lexicon.log_likelihoods == pytest.approx([3 * np.log(1 / 2)])


def test_words_are_written_as_they_mostly_are():
    sources = ["the dog runs .", "a dog sleeps .", "a cat runs .", "the dog"] * 5
    targets = ["Der Hund rennt.", "Ein Hund schläft.", "Eine Katze rennt.", "Der Hund"] * 5
    assert fit_dictionary(sources, targets, "en", "de").translate(["Dog."]) == ["Hund."]


def test_it_is_the_same_again():
    _, sources, targets = toy(40)
    assert fit_dictionary(sources, targets, "en", "de") == fit_dictionary(sources, targets, "en", "de")


@pytest.mark.parametrize(
    ("sources", "targets"), [([], []), ([""], ["ja"]), (["yes"], [" "]), (["yes " * 200], ["ja " * 200])]
)
def test_without_pairs_everything_is_copied(sources, targets):
    assert fit_dictionary(sources, targets, "en", "de").translate(["Yes, sir.", "🙂", "\x00"])[:2] == [
        "Yes, sir.",
        "🙂",
    ]


def test_where_links_are_too_many_some_pairs_are_left_out(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_LINKS", 1000)
    words, sources, targets = toy(300)
    assert fit_dictionary(sources, targets, "en", "de").translations.keys() <= set(words)


def test_unequal_counts_are_refused():
    with pytest.raises(ValueError, match="2 sources and 1 targets"):
        fit_dictionary(["a", "b"], ["c"], "en", "de")


def test_the_source_is_copied():
    assert copy_source(("a", "")) == ["a", ""]
