"""How many planted faults the tests notice: a seeded sample of mutants, each against the tests of its own module.

    python -m benchmarks.suite.mutants [--checkout DIR …] [--per-module 6] [--seed 0] [--json FILE]

A mutant is one small change of a module (cosmic-ray makes them: an operator, a comparison, a number, a branch, a
decorator). A line gives at most one; those that only change an annotation do not count. With several checkouts all are
given the same mutants, so the strength of two suites of tests over the same code can be compared.

Tests run in a fork of a process that has imported TensorFlow already, in a copy of the checkout. A mutant is caught
when a test fails, when the module no longer imports, or when the tests take ten times as long as without it.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

TESTS = {
    "shared/recur/layers/loop/sequence_loop.py": ["tests/shared/recur/layers/test_recurrent.py"],
    "shared/recur/layers/loop/cells.py": ["tests/shared/recur/layers/test_recurrent.py"],
    "shared/recur/gradients/clipping.py": ["tests/shared/recur/gradients/test_clipping.py"],
    "shared/recur/gradients/diagnosis.py": ["tests/shared/recur/gradients/test_diagnosis.py"],
    "shared/recur/decoding/beam.py": ["tests/shared/recur/decoding/test_beam.py"],
    "shared/recur/decoding/samplers.py": ["tests/shared/recur/decoding/test_samplers.py"],
    "shared/recur/training/runs.py": ["tests/shared/recur/training/test_runs.py"],
    "apps/stock_forecasting/prices.py": ["tests/apps/stock_forecasting/test_prices.py"],
    "apps/stock_forecasting/conformal.py": ["tests/apps/stock_forecasting/test_conformal.py"],
    "shared/tfserving_dev/predict.py": ["tests/shared/tfserving_dev/test_predict.py"],
}
GUARD_SECONDS, GUARD_FACTOR = 120.0, 10.0


class Mutant(NamedTuple):
    """One change of a module.

    Attributes:
        module: Path of the module in the checkout.
        operator: Cosmic-ray's name of the kind of change.
        line: Line number, from 1.
        before: The line as it is.
        after: The line as the mutant has it.
        source: The whole mutated module.
    """

    module: str
    operator: str
    line: int
    before: str
    after: str
    source: str


def meaning(source: str) -> str:
    """What a module does: its syntax tree without annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def positions(source: str) -> dict[int, list[tuple[str, int]]]:
    """By line, the operators that can change something there, with the number of the occurrence."""
    import cosmic_ray.plugins as plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    by_line: dict[int, list[tuple[str, int]]] = {}
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(plugins.operator_names()):
        kind = plugins.get_operator(name)
        if kind.arguments():  # it needs settings of its own
            continue
        places = (place for node in nodes for place in kind().mutation_positions(node))
        for occurrence, ((line, _), _) in enumerate(places):
            by_line.setdefault(line, []).append((name, occurrence))
    return by_line


def mutate(module: str, source: str, name: str, occurrence: int) -> Mutant | None:
    """One mutant, or None where the change means nothing or is no Python."""
    import cosmic_ray.plugins as plugins
    from cosmic_ray.mutating import mutate_code

    mutated = mutate_code(source, plugins.get_operator(name)(), occurrence)
    try:
        if mutated is None or meaning(mutated) == meaning(source):
            return None
    except SyntaxError:
        return None
    pairs = enumerate(zip(source.splitlines(), mutated.splitlines(), strict=False), 1)
    line, before, after = next((line, *pair) for line, pair in pairs if pair[0] != pair[1])
    return Mutant(module, name.removeprefix("core/"), line, before, after, mutated)


def sample(checkout: Path, per_module: int, seed: int) -> list[Mutant]:
    """The same mutants for the same sources and seed: of each module some lines, and of each line one mutant."""
    chosen = []
    for module in TESTS:
        source = (checkout / module).read_text(encoding="utf-8")
        by_line, generator = positions(source), random.Random(f"{seed} {module}")
        lines = sorted(by_line)
        generator.shuffle(lines)
        of_module: list[Mutant] = []
        for line in lines:
            for name, occurrence in generator.sample(by_line[line], len(by_line[line])):
                if mutant := mutate(module, source, name, occurrence):
                    of_module.append(mutant)
                    break
            if len(of_module) == per_module:
                break
        chosen += sorted(of_module, key=lambda mutant: mutant.line)
    return chosen


def copy_of(checkout: Path, to: Path) -> None:
    """Copies what git tracks, and what it neither tracks nor ignores, as it is in the working tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (checkout / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, to / name)


def passes(tests: list[str], guard: float) -> tuple[str, float, str]:
    """Runs tests in a fork; returns `passed`, `failed` or `timeout`, the seconds, and the end of what they printed."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.setsid()
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
            status = pytest.main([*options, *tests])
            sys.stdout.flush()
            os._exit(int(status))
        status = None
        while status is None and time.monotonic() - begin < guard:
            done, code = os.waitpid(child, os.WNOHANG)
            status = code if done else None
            if status is None:
                time.sleep(0.05)
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        output.seek(0)
        tail = output.read().decode(errors="replace")[-2000:]
    outcome = "timeout" if status is None else "failed" if status else "passed"
    return outcome, time.monotonic() - begin, tail


def run_worker(checkout: Path, jobs: list[dict[str, Any]]) -> None:
    """Tries mutants in a copy of a checkout; prints a line of JSON a mutant."""
    import tensorflow  # noqa: F401 - before the forks, once

    report = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        copy_of(checkout, Path(folder))
        os.chdir(folder)
        sys.path[:0] = [folder]
        for name in [name for name in sys.modules if name.split(".")[0] in ("benchmarks", "apps", "recur", "tests")]:
            del sys.modules[name]
        times: dict[str, float] = {}
        for job in jobs:
            module, tests = Path(job["module"]), TESTS[job["module"]]
            if job["module"] not in times:
                outcome, seconds, tail = passes(tests, 1800.0)
                if outcome != "passed":
                    raise RuntimeError(f"{checkout}: {tests} {outcome} without a mutant:\n{tail}")
                times[job["module"]] = seconds
            original = module.read_text(encoding="utf-8")
            module.write_text(job["source"], encoding="utf-8")
            guard = max(GUARD_SECONDS, GUARD_FACTOR * times[job["module"]])
            outcome, seconds, _ = passes(tests, guard)
            module.write_text(original, encoding="utf-8")
            print(json.dumps({"number": job["number"], "outcome": outcome, "seconds": round(seconds, 1)}), file=report)
            report.flush()


def try_all(checkout: Path, mutants: list[Mutant], processes: int) -> dict[int, dict[str, Any]]:
    """Tries all mutants, those of a module in one process."""
    jobs = [{"number": number, **mutant._asdict()} for number, mutant in enumerate(mutants)]
    modules = list(TESTS)
    parts = [[job for job in jobs if modules.index(job["module"]) % processes == part] for part in range(processes)]
    workers = []
    for part in parts:
        command = [sys.executable, "-B", "-m", "benchmarks.suite.mutants", "--worker", str(checkout)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(part))
        worker.stdin.close()
        workers.append(worker)
    results: dict[int, dict[str, Any]] = {}

    def read(worker: "subprocess.Popen[str]") -> None:
        for line in worker.stdout or ():
            result = json.loads(line)
            results[result["number"]] = result
            mutant = mutants[result["number"]]
            done = f"{checkout.name}: {len(results)} of {len(mutants)}"
            print(f"{done}  {mutant.module}:{mutant.line} {result['outcome']}", file=sys.stderr, flush=True)

    readers = [threading.Thread(target=read, args=(worker,)) for worker in workers]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    statuses = [worker.wait() for worker in workers]
    if any(statuses):
        raise SystemExit(f"error: the tests of {checkout} could not be run; see above")
    return results


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, action="append", help="checkouts to compare; this one by default")
    parser.add_argument("--per-module", type=int, default=6, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="modules tried side by side")
    parser.add_argument("--list", action="store_true", help="list the mutants, try none")
    parser.add_argument("--json", type=Path, help="file to write every result to")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run_worker(arguments.worker.resolve(), json.load(sys.stdin))
        return
    checkouts = [checkout.resolve() for checkout in arguments.checkout or [Path()]]
    for module in TESTS:
        if len({(checkout / module).read_bytes() for checkout in checkouts}) > 1:
            parser.error(f"{module} is not the same in all checkouts")
    mutants = sample(checkouts[0], arguments.per_module, arguments.seed)
    rows = [mutant._asdict() | {"source": None} for mutant in mutants]
    if not arguments.list:
        for checkout in checkouts:
            for number, result in try_all(checkout, mutants, arguments.processes).items():
                rows[number].setdefault("outcomes", {})[checkout.name] = result["outcome"]
                rows[number].setdefault("seconds", {})[checkout.name] = result["seconds"]
    for row in rows:
        outcomes = "  ".join(f"{name}: {outcome}" for name, outcome in row.get("outcomes", {}).items())
        print(f"{row['module']}:{row['line']} {row['operator']}  {outcomes}")
        print(f"    - {row['before'].strip()}\n    + {row['after'].strip()}")
    for checkout in checkouts if not arguments.list else []:
        caught = sum(row["outcomes"][checkout.name] != "passed" for row in rows)
        print(f"{checkout.name}: {caught} of {len(rows)} caught")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
