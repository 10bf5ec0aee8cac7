"""Compares this store with its peers in one run: recall against queries a second, build cost, memory, disk.

    python compare.py DATA [--sets NAME,..] [--engines NAME,..] [--rounds N] [--reuse]
        [--one-by-one] [--results FOLDER] [--work FOLDER]

DATA holds a folder a set, each with base.npy, queries.npy, gt.npy and meta.json. See README.md.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import random
import shutil
import statistics
import time

import numpy

import engines
import report

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results"
DOCS = HERE.parent.parent / "docs"
K = 10

# A setting beyond this recall, or that adds less than this, ends its series; below the floor none is timed.
RECALL_ENOUGH = 0.9985
RECALL_STEP = 0.001
RECALL_FLOOR = 0.75

# A setting at which all queries took this long ends its series sooner.
SLOW_SECONDS = 5.0
RECALL_ENOUGH_IF_SLOW = 0.991

# A setting is not timed if another of its engine finds as much and is faster by more than this factor.
CLEARLY = 1.15

# A timed pass asks fewer queries once all of them would take longer than this.
PASS_SECONDS = 0.5
WARM_QUERIES = 50
SEED = 1


class Data:
    """A set, widened to float32, and normalised where the metric is the cosine: every engine gets the same bytes."""

    def __init__(self, folder, work):
        meta = json.loads((folder / "meta.json").read_text())
        self.name = meta["name"]
        self.metric = "euclidean" if meta["metric"] == "euclidean" else "cosine"
        self.base = self.load(folder / "base.npy")
        self.queries = self.load(folder / "queries.npy")
        self.items, self.dimension = self.base.shape
        self.work = work / self.name
        self.work.mkdir(parents=True, exist_ok=True)
        self.base.astype("<f4").tofile(self.work / "base.f32")
        self.queries.astype("<f4").tofile(self.work / "queries.f32")
        truth = numpy.load(folder / "gt.npy")[:, :K]
        self.farthest = self.distances(truth).max(axis=1, keepdims=True)

    def load(self, path):
        wide = numpy.load(path).astype(numpy.float64)
        if self.metric == "cosine":
            wide /= numpy.linalg.norm(wide, axis=1, keepdims=True)
        return wide

    def distances(self, rows):
        """Squared distances of each query to its rows."""
        return numpy.stack([((self.base[near] - query) ** 2).sum(axis=1) for near, query in zip(rows, self.queries)])

    def recall(self, answers):
        """The share of answers no farther than the k-th true neighbour: of items equally far, any one counts."""
        rows = numpy.full((len(answers), K), -1)
        for at, answer in enumerate(answers):
            distinct = list(dict.fromkeys(answer))[:K]
            rows[at, : len(distinct)] = distinct
        near = self.distances(rows) <= self.farthest * (1 + 1e-9) + 1e-12
        return float((near & (rows >= 0)).mean())

    def job(self, engine):
        return {
            "engine": engine,
            "metric": self.metric,
            "dimension": self.dimension,
            "k": K,
            "base": str(self.work / "base.f32"),
            "queries": str(self.work / "queries.f32"),
            "index": str(self.work / engine),
        }


def occupied(path):
    """Bytes of disk below a path."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    statuses = [file.stat() for file in files]
    return sum(getattr(status, "st_blocks", 0) * 512 or status.st_size for status in statuses)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def build(data, engine, reuse):
    """Builds an index, or takes that of an earlier run with its cost. This store is always built."""
    job = data.job(engine)
    index, kept = pathlib.Path(job["index"]), data.work / f"{engine}.cost.json"
    if reuse and engine != engines.OURS and index.exists() and kept.exists():
        return json.loads(kept.read_text())
    remove(index)
    kept.unlink(missing_ok=True)
    cost = engines.build(job) | {"disk_bytes": occupied(index)}
    kept.write_text(json.dumps(cost))
    say(f"{data.name}: {engine} built in {cost['build_cpu']:.2f} s of CPU time")
    return cost


class Point:
    """A setting of an engine, and what its timed passes took."""

    def __init__(self, server, setting, kind, recall, mode, seconds):
        self.server, self.setting, self.kind, self.recall = server, setting, kind, recall
        self.mode, self.seconds = mode, seconds
        self.cpu, self.wall = [], []

    def beats(self, other):
        """Clearly, not by a measurement's noise."""
        return self.recall >= other.recall and self.seconds * CLEARLY < other.seconds

    def time(self, queries):
        count = min(queries, max(100, int(PASS_SECONDS / max(self.seconds, 1e-9))))
        timing = self.server.ask(self.setting, self.mode, WARM_QUERIES, count)
        self.cpu.append(count / timing["cpu"])
        self.wall.append(count / timing["wall"])
        return timing

    def row(self):
        return {
            "engine": self.server.name,
            "version": self.server.ready["version"],
            "kind": self.kind,
            "setting": words(self.setting),
            "mode": self.mode,
            "recall": f"{self.recall:.4f}",
            "cpu_qps": f"{statistics.median(self.cpu):.1f}",
            "wall_qps": f"{statistics.median(self.wall):.1f}",
            "lowest_cpu_qps": f"{min(self.cpu):.1f}",
            "highest_cpu_qps": f"{max(self.cpu):.1f}",
            "rounds": len(self.cpu),
        }


def words(setting):
    if isinstance(setting, dict):
        return f"recall {setting['recall']}" if setting else "default"
    return "/".join(map(str, setting)) if isinstance(setting, list) else str(setting)


def point(data, server, setting, kind, mode):
    """Asks every query once: the recall, and how many queries fill a timed pass."""
    timing = server.ask(setting, mode, WARM_QUERIES, len(data.queries), answers=True)
    return Point(server, setting, kind, data.recall(timing["answers"]), mode, timing["cpu"] / len(data.queries))


def faster_mode(server, setting, count, modes):
    """One by one or all at once: what is faster at a low effort, where the cost of a call weighs most."""
    taken = {mode: server.ask(setting, mode, WARM_QUERIES, count)["cpu"] for mode in modes}
    return min(taken, key=taken.get)


def survey(data, server, one_by_one):
    """The settings worth timing: those of little use are left out, and those that another clearly beats."""
    points, modes = [], ["single"] if one_by_one else engines.modes(server.name)
    for settings in engines.series(server.name, data.items):
        mode, before = faster_mode(server, settings[0], len(data.queries), modes), -1.0
        for setting in settings:
            found = point(data, server, setting, "effort", mode)
            if found.recall >= RECALL_FLOOR:
                points.append(found)
            slow = found.seconds * len(data.queries) > SLOW_SECONDS
            if found.recall >= (RECALL_ENOUGH_IF_SLOW if slow else RECALL_ENOUGH):
                break
            if found.recall >= 0.9 and found.recall - before < RECALL_STEP:
                break
            before = found.recall
    points = [one for one in points if not any(other.beats(one) for other in points)]
    return points + [point(data, server, setting, "stated", "single") for setting in engines.stated(server.name)]


def measure(data, names, rounds, one_by_one):
    """All engines open at once; rounds of passes over every setting of every engine, in random order."""
    chance = random.Random(SEED)
    servers = [engines.Server(data.job(name)) for name in names]
    points = []
    for server in servers:
        start = time.monotonic()
        points += survey(data, server, one_by_one)
        say(f"{data.name}: {server.name} surveyed in {time.monotonic() - start:.0f} s")
    resident = {}
    for turn in range(rounds):
        start = time.monotonic()
        for chosen in chance.sample(points, len(points)):
            timing = chosen.time(len(data.queries))
            resident[chosen.server.name] = (timing["resident_bytes"], timing["anonymous_bytes"])
        say(f"{data.name}: round {turn + 1} of {rounds}, {len(points)} settings, {time.monotonic() - start:.0f} s")
    opens = {server.name: server.ready["open_wall"] for server in servers}
    for server in servers:
        server.close()
    return [found.row() for found in points], resident, opens


def compare(folder, names, arguments, work):
    data = Data(folder, work)
    costs = {name: build(data, name, arguments.reuse) for name in names}
    if arguments.rounds == 0:
        return
    curve, resident, opens = measure(data, names, arguments.rounds, arguments.one_by_one)
    write(arguments.results / f"{data.name}.curves.csv", curve)
    raw = data.items * data.dimension * 4
    builds = []
    for name in names:
        cost, (rss, anonymous) = costs[name], resident[name]
        builds.append(
            {
                "engine": name,
                "items": data.items,
                "dimension": data.dimension,
                "raw_bytes": raw,
                "build_cpu_seconds": f"{cost['build_cpu']:.3f}",
                "rows_cpu_seconds": f"{cost['rows_cpu']:.3f}",
                "build_wall_seconds": f"{cost['build_wall']:.3f}",
                "build_peak_bytes": cost["peak_bytes"],
                "disk_bytes": cost["disk_bytes"],
                "open_seconds": f"{opens[name]:.4f}",
                "search_resident_bytes": rss,
                "search_anonymous_bytes": anonymous,
            }
        )
    write(arguments.results / f"{data.name}.builds.csv", builds)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def say(what):
    print(f"{datetime.datetime.now():%H:%M:%S} load {os.getloadavg()[0]:.1f}  {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--sets", help="names of folders, with commas; default: all")
    parser.add_argument("--engines", help=f"default: {','.join(engines.ALL)}")
    parser.add_argument("--rounds", type=int, default=5, help="timed passes a setting; 0 builds only")
    parser.add_argument(
        "--reuse", action="store_true", help="take peers' indexes from the last run; build this store"
    )
    parser.add_argument("--one-by-one", action="store_true", help="no queries in batches, also where that is faster")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="folder for CSV files; default: here")
    parser.add_argument("--work", type=pathlib.Path, default=HERE / "target" / "compare", help="folder for indexes")
    arguments = parser.parse_args()
    folders = sorted(meta.parent for meta in arguments.data.glob("*/meta.json"))
    if arguments.sets:
        folders = [folder for folder in folders if folder.name in arguments.sets.split(",")]
    if not folders:
        parser.error(f"expected folders with meta.json in {arguments.data}, found none that was asked for")
    names = arguments.engines.split(",") if arguments.engines else engines.ALL
    for folder in folders:
        compare(folder, names, arguments, arguments.work)
    if arguments.rounds > 0:
        report.machine(arguments.results)
        report.everything(arguments.results, DOCS if arguments.results == RESULTS else arguments.results)


main()
