"""A pytest plugin: modules of tests run in forked processes, each of which ends before it has grown large.

A traced TensorFlow graph, a compiled XLA program, a loaded SavedModel: much of it stays in a process for good, and the
garbage collector looks through all of it again and again. So the process that collects the tests runs none. It has
imported what they need, TensorFlow among it, and forks processes that run whole modules (what a module's tests share is
made once). One that has passed `--memory-limit` at the end of a module ends, and another takes its place.

    pytest --processes 2       as many at once; by default one a core; 0 runs everything in this process, as --pdb does
    pytest --costliest 20      the modules that took most CPU, fixtures and child processes among it, at the end

Modules with a test that is marked slow come first, so that no process is still busy with one when the others are done.
"""

import contextlib
import gc
import io
import itertools
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import psutil
import pytest

MEBIBYTE = 1 << 20
COSTS = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("processes of modules")
    group.addoption("--processes", type=int, default=None, help="processes side by side; 0 for none but this one")
    group.addoption("--memory-limit", type=int, default=600, help="MiB beyond which a process runs no other module")
    group.addoption("--costliest", type=int, default=0, metavar="N", help="show the N modules that took most CPU")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts modules with a slow test first."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Runs all tests in forked processes, unless one process is wanted."""
    options = session.config.option
    wanted = os.cpu_count() or 1 if options.processes is None else options.processes
    collected_badly = session.testsfailed and not options.continue_on_collection_errors
    if not wanted or options.usepdb or options.collectonly or collected_badly:
        return None
    modules = [list(items) for _, items in itertools.groupby(session.items, key=lambda item: item.path)]
    session.config._tmp_path_factory.getbasetemp()  # the same for all
    gc.collect()
    gc.freeze()  # what is imported stays: nobody need look through it
    _Processes(session, modules).run(min(wanted, len(modules)))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows which modules took most CPU."""
    costs = config.stash.get(COSTS, {})
    if not config.option.costliest or not costs:
        return
    terminalreporter.section(f"CPU of {len(costs)} modules: {sum(costs.values()):.0f} s")
    for name, seconds in sorted(costs.items(), key=lambda item: -item[1])[: config.option.costliest]:
        terminalreporter.line(f"{seconds:8.1f} s {name}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Refuses a module that computes when it is imported: a fork has no threads, so TensorFlow must not have begun."""
    context = sys.modules.get("tensorflow.python.eager.context")
    if context is not None and context.context_safe() is not None and context.context()._initialized:
        raise pytest.UsageError(f"{report.nodeid} computes with TensorFlow when it is imported; do it in a fixture")


class _Processes:
    """The forked processes, and what is left to do.

    Args:
        session: pytest's.
        modules: The tests of each module.
    """

    def __init__(self, session: pytest.Session, modules: list[list[pytest.Item]]):
        self.session, self.waiting = session, modules[::-1]
        self.running: dict[Connection, tuple[int, list[pytest.Item]]] = {}
        self.costs = session.config.stash[COSTS] = {}

    def run(self, count: int) -> None:
        """Runs all modules, or until pytest has seen enough (`-x`, Ctrl-C)."""
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < count:
                    self._fork()
                for connection in wait(list(self.running)):
                    self._read(connection)
                if self.session.shouldfail or self.session.shouldstop:
                    raise self.session.Failed(self.session.shouldfail or self.session.shouldstop)
        finally:
            for connection, (process, _) in self.running.items():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
                os.waitpid(process, 0)
                connection.close()

    def _fork(self) -> None:
        ours, theirs = Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that some library has: they only wait
            process = os.fork()
        if not process:
            ours.close()
            for connection in self.running:
                connection.close()
            _run_modules(self.session, theirs)
        theirs.close()
        self.running[ours] = (process, self.waiting.pop())
        self._send(ours)

    def _send(self, connection: Connection) -> None:
        _, items = self.running[connection]
        first = self.session.items.index(items[0])
        connection.send((first, first + len(items)))

    def _read(self, connection: Connection) -> None:
        hook, config = self.session.config.hook, self.session.config
        process, items = self.running[connection]
        try:
            event, *content = connection.recv()
        except (EOFError, ConnectionResetError):
            _, status = os.waitpid(process, 0)
            del self.running[connection]
            connection.close()
            self._report_crash(items[0], status)
            return
        if event == "start":
            hook.pytest_runtest_logstart(nodeid=content[0], location=content[1])
        elif event == "report":
            report = config.hook.pytest_report_from_serializable(config=config, data=content[0])
            hook.pytest_runtest_logreport(report=report)
        elif event == "finish":
            hook.pytest_runtest_logfinish(nodeid=content[0], location=content[1])
        elif event == "cost":
            self.costs[str(items[0].path.relative_to(config.rootpath))] = content[0]
        elif event == "module" and self.waiting:
            self.running[connection] = (process, self.waiting.pop())
            self._send(connection)
        else:  # the process is large enough, or there is nothing left to do
            with contextlib.suppress(BrokenPipeError):
                connection.send(None)
            os.waitpid(process, 0)
            del self.running[connection]
            connection.close()

    def _report_crash(self, item: pytest.Item, status: int) -> None:
        message = f"the process that ran {item.path} ended with status {os.waitstatus_to_exitcode(status)}"
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", message, "call")
        self.session.config.hook.pytest_runtest_logreport(report=report)


def _run_modules(session: pytest.Session, connection: Connection) -> None:
    """What a forked process does: it runs modules until it is told to end."""
    config = session.config
    status = 1
    gc.set_threshold(50_000, 20, 100)  # a process that ends soon need not be tidied often
    _shorten_turns()
    try:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter._tw._file = io.StringIO()  # the other process shows what there is to see
        config.pluginmanager.register(_Reporter(config, connection))
        limit = config.option.memory_limit * MEBIBYTE
        message = connection.recv()
        while message is not None:
            first, end = message
            before = sum(os.times()[:4])
            for number in range(first, end):
                following = session.items[number + 1] if number + 1 < end else None
                config.hook.pytest_runtest_protocol(item=session.items[number], nextitem=following)
            connection.send(("cost", sum(os.times()[:4]) - before))
            connection.send(("full" if psutil.Process().memory_info().rss > limit else "module",))
            message = connection.recv()
        status = 0
    finally:
        os._exit(status)


def _shorten_turns() -> None:
    """Unrolls loops in graphs less: a graph of as many turns is traced several times as fast, and computes the same."""
    if "tensorflow" in sys.modules:
        from recur.layers.loop import graph_loop

        graph_loop.STEPS_A_TURN = 2


class _Reporter:
    """Sends what happens to the process that shows it."""

    def __init__(self, config: pytest.Config, connection: Connection):
        self.config, self.connection = config, connection

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """A test begins."""
        self.connection.send(("start", nodeid, location))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test is done."""
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.connection.send(("report", data))

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        """A test is done."""
        self.connection.send(("finish", nodeid, location))
