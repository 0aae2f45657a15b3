"""What several test modules use: the folder of real data, a small text, a small trained run, and a command line."""

import contextlib
import dataclasses
import fcntl
import functools
import importlib
import io
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is first imported
os.environ.setdefault("COLUMNS", "120")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # what is compiled here runs a few times
for _threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # modules run side by side: more threads would wait for each other
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a script; its children would be deaf
    signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("recur", deadline=None)  # a machine with other work is slow, not wrong
hypothesis.settings.load_profile("recur")

pytest_plugins = ["tests.module_processes"]

SPEAKERS = ("MIRA", "OLD TOM", "THE MILLER")
NAMES = ("the grey cat", "my brother", "a slow river", "the miller's cart", "every lantern", "our neighbour")
VERBS = ("follows", "remembers", "waits for", "hides", "sings to", "forgets")
ENDS = ("by the gate", "before the rain", "as if nothing had happened", "in the old mill", "all winter long")


def grammar_text(characters: int, seed: int = 0) -> str:
    """Lines of a play that a small grammar writes, cut to a length; the same for the same seed."""
    chooser = random.Random(seed)
    lines: list[str] = []
    length = 0
    while length < characters:
        sentence = f"{chooser.choice(NAMES)} {chooser.choice(VERBS)} {chooser.choice(NAMES)} {chooser.choice(ENDS)}"
        lines.append(f"{chooser.choice(SPEAKERS)}:\n{sentence.capitalize()}{chooser.choice('.!?')}\n\n")
        length += len(lines[-1])
    return "".join(lines)[:characters]


@pytest.fixture(scope="session")
def recur_data() -> Path:
    """The folder of downloaded data sets, which the environment variable RECUR_DATA names."""
    folder = os.environ.get("RECUR_DATA")
    if not folder:
        pytest.skip("RECUR_DATA does not name a folder of downloaded data sets")
    return Path(folder)


WHAT_IS_SLOW = {
    "keras.src.backend.tensorflow.trainer": ("TensorFlowTrainer", "fit"),
    "recur.training.trainer": ("Trainer", "train"),
    "tfserving_dev.server": ("DevelopmentServer", "start"),
}
_guarded: set[str] = set()
_running: list[pytest.Item] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keeps `make test-fast` what it says: what trains or serves for a test that is not marked as slow fails."""
    _running[:] = [item]
    for module, (kind, method) in WHAT_IS_SLOW.items():
        if module in sys.modules and module not in _guarded:
            _guarded.add(module)
            owner = getattr(sys.modules[module], kind)
            setattr(owner, method, _refused_if_fast(getattr(owner, method)))


def _refused_if_fast(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if not any(_running[0].get_closest_marker(name) for name in ("slow", "long")):
            pytest.fail("a test that trains or starts a server is to be marked as slow")
        return function(*arguments, **options)

    return call


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Runs functions op by op instead of tracing them: for a test of what they compute, not of their graphs."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives a folder by its name; the first process of a session of tests to ask fills it, others wait till it has."""
    base = tmp_path_factory.getbasetemp()

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder = base / name
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = tmp_path_factory.mktemp(name)
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@contextlib.contextmanager
def kept_as_stopped(to: Path, when: Callable[[Any], bool]) -> Iterator[None]:
    """Copies a run at a checkpoint, as a process that is killed then leaves it; training goes on.

    Args:
        to: The folder that is made.
        when: Says of a trainer, which has just written its checkpoint, whether this is the one.
    """
    from recur.training import trainer

    save = trainer.Trainer.save_checkpoint

    def save_and_copy(trainer: Any) -> None:
        save(trainer)
        if when(trainer) and not to.exists():
            folder = trainer.run.path
            shutil.copytree(folder if (folder / "config.json").exists() else folder.parents[1], to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "save_checkpoint", save_and_copy)
        yield


@pytest.fixture(scope="session")
def tiny_text(made_once: MadeOnce) -> Path:
    """A file of 6,000 characters of our own making."""
    text = grammar_text(6_000)
    return made_once("tiny-text", lambda folder: (folder / "tiny.txt").write_text(text, "utf-8")) / "tiny.txt"


@pytest.fixture(scope="session")
def tiny_run(made_once: MadeOnce, tiny_text: Path) -> Path:
    """The folder of a finished run of text generation: two epochs of six steps on `tiny_text`. Do not write to it."""
    from apps.text_generation.application import APPLICATION
    from recur.cli.application import main

    settings = ["--units", "16", "--embedding-units", "8", "--batch-size", "4", "--window", "16"]
    length = ["--epochs", "2", "--steps-per-epoch", "6"]
    words = ["train", "--data", str(tiny_text), "--preset", "quick", *settings, *length, "--debug", "--out"]

    def train(folder: Path) -> None:
        assert main(APPLICATION, [*words, str(folder / "run")]) == 0

    return made_once("tiny-run", train) / "run"


@pytest.fixture(scope="session")
def tiny_models(made_once: MadeOnce, tiny_run: Path) -> Path:
    """A folder of exported models with one version of text generation. Do not write to it."""
    from apps.text_generation.application import APPLICATION
    from recur.cli.commands import export

    return made_once("tiny-models", lambda folder: export(APPLICATION, str(tiny_run), folder))


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command did."""

    status: int
    output: str
    errors: str


class CommandLine:
    """Runs commands in this process, in an empty folder of their own.

    Args:
        main: From the words after the program's name to the exit status.
        folder: The working folder.
        capture: pytest's `capfd`, which also sees what libraries write past Python.
        monkeypatch: pytest's.
    """

    def __init__(self, main: Callable[[list[str]], int], folder: Path, capture: Any, monkeypatch: pytest.MonkeyPatch):
        self.main, self.folder, self.capture, self.monkeypatch = main, folder, capture, monkeypatch

    def __call__(self, *words: object, stdin: bytes = b"") -> Answer:
        """Runs one command with what stands on its standard input."""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.capture.readouterr()
        status = self.main([str(word) for word in words])
        return Answer(status, *self.capture.readouterr())

    def refused(self, *words: object, status: int = 2, stdin: bytes = b"") -> str:
        """Asserts that a command ends as the contract of errors says; returns its one line without `error: `."""
        before = self._files()
        answer = self(*words, stdin=stdin)
        assert (answer.status, answer.output) == (status, ""), answer
        assert answer.errors.startswith("error: "), answer
        assert answer.errors.count("\n") == 1, answer
        assert answer.errors.endswith("\n"), answer
        assert self._files() == before
        return answer.errors.removeprefix("error: ").rstrip("\n")

    def _files(self) -> dict[str, tuple[int, int]]:
        """Every file and folder there is, with its size and when it was last written."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.folder.rglob("*")
        }


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> Callable[[str], CommandLine]:
    """From the name of an application to its command line, in an empty folder."""
    from recur.cli.application import main

    def of(name: str) -> CommandLine:
        application = importlib.import_module(f"apps.{name}.application").APPLICATION
        return CommandLine(lambda words: main(application, words), tmp_path, capfd, monkeypatch)

    monkeypatch.chdir(tmp_path)
    return of


@pytest.fixture
def text_generation(command_line: Callable[[str], CommandLine]) -> CommandLine:
    """The command line of text generation."""
    return command_line("text_generation")


@pytest.fixture
def sentiment_analysis(command_line: Callable[[str], CommandLine]) -> CommandLine:
    """The command line of sentiment analysis."""
    return command_line("sentiment_analysis")


@pytest.fixture
def translation(command_line: Callable[[str], CommandLine]) -> CommandLine:
    """The command line of translation."""
    return command_line("translation")


@pytest.fixture
def all_applications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> CommandLine:
    """The command line over all applications, in an empty folder."""
    from apps.__main__ import main

    monkeypatch.chdir(tmp_path)
    return CommandLine(main, tmp_path, capfd, monkeypatch)


@pytest.fixture
def tensorflow_datasets_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder from which TensorFlow Datasets reads, and into which it would download."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tensorflow-datasets")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(folder))
    return folder
