"""Pages and terminal lines of weighed words: nothing in a review can get out of its place."""

import html.parser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.sentiment_analysis.explanation import coloured, html_page

TOKENS = st.one_of(st.text(max_size=8), st.binary(max_size=8))
WEIGHED = st.lists(st.tuples(TOKENS, st.floats(-1e6, 1e6)), max_size=12)


class Page(html.parser.HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each word."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == "span"
        if self.inside:
            self.words.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.words[-1] += data

    def spans(self):
        return [attributes for tag, attributes in self.elements if tag == "span"]


def words(weighed):
    return [token for token, _ in weighed], [weight for _, weight in weighed]


@given(WEIGHED, st.text(max_size=10))
def test_the_page_has_a_word_a_token_and_nothing_that_a_review_brings(weighed, label):
    empty = Page(html_page([([], [], "positive", 0.5)]))
    page = html_page([(*words(weighed), label, 0.25)])
    found = Page(page)
    assert len(found.spans()) == len(weighed)
    assert all(attributes.keys() == {"style", "title"} for attributes in found.spans())
    others = [tag for tag, _ in found.elements if tag != "span"]
    assert others == [tag for tag, _ in empty.elements]
    page.encode("utf-8")
    assert "\x00" not in page


def test_a_script_stays_text():
    token = '<script>alert("1")</script>'
    page = html_page([([token, "&amp;"], [1.0, -1.0], '"><img src=x>', 0.9)])
    assert Page(page).words == [token, "&amp;"]
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "http" not in page  # nothing is loaded


def test_colours_follow_the_weights():
    spans = Page(html_page([(["good", "so", "bad"], np.array([2.0, 0.0, -1.0]), "positive", 0.8)])).spans()
    assert [each["style"] for each in spans] == [
        "background: rgba(22, 163, 74, 1.00)",
        "background: rgba(220, 38, 38, 0.00)",
        "background: rgba(220, 38, 38, 0.50)",
    ]
    assert [each["title"] for each in spans] == ["+2.0000", "+0.0000", "-1.0000"]


def test_several_reviews_in_order():
    page = html_page([(["a"], [1.0], "first", 0.1), (["b"], [1.0], "second", 0.987)])
    assert page.index("first") < page.index("second")
    assert "0.987" in page


@given(WEIGHED)
def test_the_terminal_gets_the_words_and_no_control_characters(weighed):
    text = coloured(*words(weighed))
    assert not set(text.plain) & {chr(code) for code in (*range(32), *range(127, 160))}
    assert len(text.spans) <= len(weighed)


def test_the_colours_of_the_terminal():
    text = coloured(["good", b"caf\xc3\xa9", "bad\x1b[2J"], [1.0, 0.0, -0.5])
    assert text.plain == "good café bad\ufffd[2J"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert "rgb(22,163,74)" in styles["good"].replace("#16a34a", "rgb(22,163,74)")
    assert "good" in styles
    assert "bad\ufffd[2J" in styles


@pytest.mark.parametrize("weights", [[1.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="one finite weight a token"):
        coloured(["a", "b"], weights)
    with pytest.raises(ValueError, match="one finite weight a token"):
        html_page([(["a", "b"], weights, "positive", 0.5)])
