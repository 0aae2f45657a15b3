"""A figure is written whole, whoever made it, and pyplot keeps none."""

from matplotlib import pyplot
from matplotlib.figure import Figure

from recur.files import save_figure


def test_figures_of_pyplot_and_others_are_written_and_closed(tmp_path):
    kept = pyplot.get_fignums()
    for name, figure in (("pyplot", pyplot.figure()), ("alone", Figure())):
        figure.subplots().plot([1, 2])
        assert save_figure(figure, tmp_path / name) == tmp_path / name
    assert pyplot.get_fignums() == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "pyplot"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
