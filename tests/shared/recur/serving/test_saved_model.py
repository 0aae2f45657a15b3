"""What is read of a SavedModel that is not loaded, and what a stock server has."""

import pytest
import tensorflow as tf

from recur.serving.saved_model import must_compile_functions, operations, stock_operations

pytestmark = pytest.mark.slow


class Counting(tf.Module):
    """A table from a file, a variable, strings and a loop."""

    def __init__(self, vocabulary):
        super().__init__()
        self.weight = tf.Variable([[1.0], [2.0]])
        key, value = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        words = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, key, tf.int64, value)
        self.table = tf.lookup.StaticHashTable(words, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([None], tf.string, "word")])
    def serve(self, x, word):
        count = self.table.lookup(word + word)
        while tf.reduce_any(count > 0):
            count -= 1
        return {"y": x @ self.weight, "count": count}


def test_operations_and_must_compile(tmp_path):
    (tmp_path / "words").write_text("the\ncat\n")
    module = Counting(tmp_path / "words")
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.serve})
    kinds = operations(tmp_path / "1")
    # In functions and outside.
    assert kinds >= {"Placeholder", "LookupTableFindV2", "MatMul", "StringJoin", "RestoreV2"}
    assert kinds & {"While", "StatelessWhile"}
    assert "EagerPyFunc" not in kinds
    assert must_compile_functions(tmp_path / "1") == []

    class Doubtful(tf.Module):
        @tf.function(jit_compile=True)
        def compiled(self, x):
            return x * 2

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def serve(self, x):
            return {"y": tf.py_function(lambda value: value + 1, [self.compiled(x)], tf.float32)}

    module = Doubtful()
    tf.saved_model.save(module, str(tmp_path / "doubtful"), {"serving_default": module.serve})
    assert "EagerPyFunc" in operations(tmp_path / "doubtful")
    must_compile = must_compile_functions(tmp_path / "doubtful")
    assert any("compiled" in name and "/" not in name for name in must_compile)
    assert any(name.startswith("__inference_serve") and "/" in name for name in must_compile)


@pytest.mark.parametrize("function", [operations, must_compile_functions])
def test_what_is_no_saved_model(tmp_path, function):
    with pytest.raises(FileNotFoundError, match=r"no SavedModel in '.*absent'"):
        function(tmp_path / "absent")
    (tmp_path / "saved_model.pb").write_bytes(b"this is text, not a graph")
    with pytest.raises(ValueError, match="is no SavedModel"):
        function(tmp_path)


def test_stock_operations_are_those_of_the_library_and_of_tf_text():
    stock = stock_operations()
    assert stock.tensorflow >= {"MatMul", "While", "StatelessWhile", "PartitionedCall", "Placeholder", "VarHandleOp"}
    assert stock.text >= {"CaseFoldUTF8", "SentencepieceOp"}
    assert not stock.tensorflow & stock.text
    # Registered in the library, but only Python has its kernel: this process, which has imported TensorFlow, does.
    assert stock.foreign(["MatMul", "EagerPyFunc", "CaseFoldUTF8", "Invented"]) == ["EagerPyFunc", "Invented"]
