"""The same reviews are answered by a run's export and by Keras's example, through Python and through C++."""

import json

import pytest

from apps.sentiment_analysis.application import APPLICATION
from apps.sentiment_analysis.config import SentimentConfig
from benchmarks.serving import sentiment as sentiment_serving
from benchmarks.serving.sentiment import EXAMPLE, Arguments
from recur.training.runs import create_run
from recur.training.task import Trained

pytestmark = pytest.mark.slow

CONFIG = SentimentConfig(units=3, embedding_units=2, batch_size=4, longest=12)
ARGUMENTS = {"reviews": 5, "rounds": 1}


@pytest.fixture
def source(tmp_path):
    """Reviews of four words and of twenty."""
    rows = [f"{number} the tea was{' so' * 16 * (number % 2)},{number // 2 % 2}\n" for number in range(60)]
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "".join(rows))
    return str(path)


@pytest.fixture
def run(source, tmp_path):
    """A run that was not trained."""
    corpus = APPLICATION.task.read(source, CONFIG)
    assets = APPLICATION.task.fit_assets(corpus, CONFIG)
    run = create_run(APPLICATION.name, tmp_path / "run")
    assets.write(run.assets)
    APPLICATION.task.build(CONFIG, assets).save(run.model)
    record = {"application": APPLICATION.name, "preset": "quick", "config": dict(vars(CONFIG)), "versions": {}}
    data = {"source": source, "fingerprint": corpus.fingerprint}
    run.write_record(record | {"data": data, "started": "2024-01-01T00:00:00", "finished": "2024-01-01T00:00:01"})
    return str(run.path)


def test_every_model_is_measured(run, capsys, monkeypatch):
    monkeypatch.setattr(sentiment_serving, "BATCHES", (1, 2))
    sentiment_serving.main(Arguments(run, **ARGUMENTS, json=True))
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert printed.count("\n") == 1
    assert [(row["called_through"], row["batch"], row["model"]) for row in found["rows"]] == [
        (loader, batch, name) for loader in ("Python", "C++") for batch in (1, 2) for name in ("Recur", EXAMPLE)
    ]
    words = found["words_per_review"]
    assert 4 < words["Recur"] < words[EXAMPLE] <= 20
    for row in found["rows"]:
        assert row["words_per_second"] == pytest.approx(row["reviews_per_second"] * words[row["model"]])
        assert (row["times_example"] == 1) == (row["model"] == EXAMPLE)


def test_a_run_that_reads_more_is_cut_to_as_many_words(monkeypatch):
    monkeypatch.setattr(sentiment_serving, "LONGEST", 8)
    monkeypatch.setattr(sentiment_serving, "VOCABULARY", 10)
    texts = [b"one two three four", b"and " * 20]
    ours = sentiment_serving.competitors(Trained(CONFIG, None, None))
    words = sentiment_serving.words_read(texts, ours, sentiment_serving.keras_example(texts))
    assert words == {"Recur": 8, "Recur, 8 words": 6, EXAMPLE: 6}


def test_each_answers_the_same_reviews_in_the_same_order(monkeypatch):
    monkeypatch.setattr(sentiment_serving, "BATCHES", (2,))
    turns = {}
    for name in ("through_python", "through_native"):
        monkeypatch.setattr(sentiment_serving, name, lambda path, name=name: turns.setdefault((name, path), []).append)
    found = sentiment_serving.measure({"a": "path a", "b": "path b"}, [b"1", b"2", b"3"], rounds=2)
    assert set(found) == {(loader, 2, name) for loader in ("Python", "C++") for name in ("a", "b")}
    assert len(turns) == 4
    assert all(asked == [[b"1", b"2"], [b"3"]] * 3 for asked in turns.values()), "once before the two rounds"


def test_the_table_has_a_row_for_each():
    row = {"called_through": "C++", "batch": 64, "model": EXAMPLE}
    row |= {"reviews_per_second": 1234.5, "words_per_second": 9876.4, "times_example": 1.0}
    report = {"run": "a/b", "data": "sample", "reviews": 1000, "rounds": 3, "words_per_review": {EXAMPLE: 8.0}}
    text = sentiment_serving.table(report | {"rows": [row]})
    assert text.splitlines()[-1] == f"| C++ | 64 | {EXAMPLE} | 1,234.5 | 9,876 | 1.00 |"


def test_bad_usage_is_one_line(run):
    for arguments in ({"run": "nothing"}, {"run": run, "data": "nothing.csv"}, {"run": run, "rounds": 0}):
        with pytest.raises(SystemExit, match=r"^error: .*$"):
            sentiment_serving.main(Arguments(**arguments))
