"""Pictures of gradients: the names in them."""

from recur.gradients.heat_maps import _short_names


def test_names_are_as_short_as_they_can_be_told_apart():
    layers = ["many_to_one/encoder/forward_lstm", "many_to_one/encoder/backward_lstm", "head", "decoder/lstm", "lstm"]
    assert list(_short_names(layers).values()) == ["forward_lstm", "backward_lstm", "head", "decoder/lstm", "lstm"]
    assert _short_names(["a/x", "b/x", "c/b/x"]) == {"a/x": "a/x", "b/x": "b/x", "c/b/x": "c/b/x"}
