"""What is compared: the engines, the settings each is swept over, and the processes they run in."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RUST = HERE / "target" / "release" / ("understory-compare.exe" if os.name == "nt" else "understory-compare")

OURS = "understory"
IN_RUST = [OURS, "arroy", "hannoy", "hnsw_rs"]
IN_PYTHON = [
    "annoy-10",
    "annoy-50",
    "hnswlib",
    "usearch",
    "voyager",
    "faiss-hnsw32",
    "faiss-ivf",
    "faiss-ivfpqfs",
    "faiss-ivfrabitqfs",
]
ALL = IN_RUST + IN_PYTHON

# What an environment may force on a library, which a fresh machine would not.
FORCED = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR"]
THREADS = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]

LISTS_PROBED = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
CANDIDATES_A_HIT = [4, 16]


def geometric(first, factor, last):
    """Whole numbers from first on, each the factor times the one before, the last one included."""
    steps, value = [], float(first)
    while value < last:
        steps.append(round(value))
        value *= factor
    return steps + [last]


def series(engine, items):
    """Lists of settings, each from low effort to high: a list ends early once its recall stops rising."""
    if engine == OURS:
        return [geometric(min(250, items), 1.35, items)]
    if engine == "arroy" or engine.startswith("annoy"):
        return [geometric(min(500, items), 1.7, 4 * items)]
    if engine == "faiss-ivf":
        return [LISTS_PROBED]
    if engine in ("faiss-ivfpqfs", "faiss-ivfrabitqfs"):
        return [[[lists, factor] for lists in LISTS_PROBED] for factor in CANDIDATES_A_HIT]
    return [geometric(10, 1.4, 1000)]


def stated(engine):
    """Settings in the words of the engine's own promise, measured but no part of its curve."""
    return [{}, {"recall": 0.9}, {"recall": 0.95}, {"recall": 0.99}] if engine == OURS else []


def modes(engine):
    """How queries are passed: one by one, or all at once where the library can; the faster one counts."""
    return ["single", "batch"] if engine in IN_PYTHON and not engine.startswith("annoy") else ["single"]


def environment():
    kept = {name: value for name, value in os.environ.items() if name not in FORCED}
    kept = {name: value for name, value in kept.items() if not name.startswith("UNDERSTORY_")}
    return kept | {name: "1" for name in THREADS}


def command(job):
    program = [str(RUST)] if job["engine"] in IN_RUST else [sys.executable, str(HERE / "worker.py")]
    return program + [json.dumps(job)]


def build(job):
    """Builds in a process of its own; what it cost."""
    run = subprocess.run(command(job | {"do": "build"}), env=environment(), stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


class Server:
    """A process with an open index that answers passes."""

    def __init__(self, job):
        self.process = subprocess.Popen(
            command(job | {"do": "serve"}),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = job["engine"]
        self.ready = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {self.process.wait()}")
        return json.loads(line)

    def ask(self, setting, mode, warm, count, answers=False):
        order = {"setting": setting, "mode": mode, "warm": warm, "count": count, "answers": answers}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
