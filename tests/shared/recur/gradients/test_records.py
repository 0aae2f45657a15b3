"""gradients.csv: readable whenever writing stops, and taken up again where training is."""

import math

import pytest

from recur.gradients.records import Record, RecordFile, read_records

SEEN = [Record(step, "lstm", "kernel", "gradient_norm", None, step / 8) for step in (1, 2, 3)]
LAGGED = Record(3, "", "state", "carried", 4, math.inf)


def test_what_is_written_is_read(tmp_path):
    file = RecordFile(tmp_path / "new" / "gradients.csv")
    assert read_records(file.path).empty
    file.append(SEEN)
    file.append([LAGGED, LAGGED._replace(value=math.nan)])
    records = read_records(file.path)
    assert records["value"].tolist()[:4] == [0.125, 0.25, 0.375, math.inf]
    assert math.isnan(records["value"].iloc[4])
    assert records["layer"].tolist() == ["lstm"] * 3 + [""] * 2
    assert records["index"].isna().tolist() == [True] * 3 + [False] * 2
    assert records["index"].iloc[3] == 4


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    file = RecordFile(tmp_path / "gradients.csv")
    file.append(SEEN)
    content = file.path.read_bytes()
    for end in range(content.index(b"\n2,") + 1, len(content)):
        file.path.write_bytes(content[:end])
        assert read_records(file.path)["step"].tolist() == ([1] if end < content.index(b"\n3,") + 1 else [1, 2])
    RecordFile(file.path, step=5).append([LAGGED])
    assert read_records(file.path)["step"].tolist() == [1, 2, 3]


def test_training_taken_up_again_forgets_what_came_later(tmp_path):
    RecordFile(tmp_path / "gradients.csv").append(SEEN)
    assert read_records(RecordFile(tmp_path / "gradients.csv", step=2).path)["step"].tolist() == [1, 2]
    assert read_records(RecordFile(tmp_path / "gradients.csv").path).empty


def test_another_file_is_refused(tmp_path):
    (tmp_path / "gradients.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="does not begin with step,layer"):
        read_records(tmp_path / "gradients.csv")
