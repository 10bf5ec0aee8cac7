"""Builds and serves one peer that Python has, for compare.py.

Speaks the protocol of src/main.rs: one argument, a job; "build" prints a line of costs, "serve" prints a line and then
answers each line of standard input, a pass over all queries at one setting. Queries go to a peer one by one or all at
once, whatever the pass says; both use one thread.
"""

import json
import os
import sys
import time
from importlib.metadata import version

import numpy

SEED = 42


def memory():
    """Bytes resident, the part no file backs, and the peak; zeros where the system does not say."""
    found = {"VmRSS": 0, "RssAnon": 0, "VmHWM": 0}
    try:
        with open("/proc/self/status") as status:
            for line in status:
                name, _, value = line.partition(":")
                if name in found:
                    found[name] = int(value.split()[0]) * 1024
    except OSError:
        pass
    return found


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        pass


class Annoy:
    def __init__(self, job):
        import annoy

        self.trees = int(job["engine"].rpartition("-")[2])
        metric = "angular" if job["metric"] == "cosine" else "euclidean"
        self.index = annoy.AnnoyIndex(job["dimension"], metric)
        self.index.set_seed(SEED)

    def build(self, base):
        for row, vector in enumerate(base):
            self.index.add_item(row, vector)
        self.index.build(self.trees, n_jobs=1)

    def save(self, path):
        self.index.save(path)

    def open(self, path):
        self.index.load(path)

    def prepare(self, queries):
        """Lists of floats: the binding reads numpy rows several times more slowly."""
        self.rows = queries.tolist()

    def one_by_one(self, k, setting, count):
        search = self.index.get_nns_by_vector
        return [search(row, k, setting) for row in self.rows[:count]]


class Rows:
    """Peers that take numpy arrays."""

    def prepare(self, queries):
        self.queries = queries
        self.rows = [queries[row : row + 1] for row in range(len(queries))]

    def one_by_one(self, k, setting, count):
        self.set(setting)
        return numpy.concatenate([self.find(row, k) for row in self.rows[:count]])

    def at_once(self, k, setting, count):
        self.set(setting)
        return self.find(self.queries[:count], k)


class Hnswlib(Rows):
    def __init__(self, job):
        import hnswlib

        # Vectors are normalised already: the plain inner product is its fastest form of the cosine.
        space = "ip" if job["metric"] == "cosine" else "l2"
        self.index = hnswlib.Index(space=space, dim=job["dimension"])

    def build(self, base):
        self.index.init_index(max_elements=len(base), M=16, ef_construction=200, random_seed=SEED)
        self.index.add_items(base, numpy.arange(len(base)), num_threads=1)

    def save(self, path):
        self.index.save_index(path)

    def open(self, path):
        self.index.load_index(path)
        self.index.set_num_threads(1)

    def set(self, setting):
        self.index.set_ef(setting)

    def find(self, rows, k):
        return self.index.knn_query(rows, k=k, num_threads=1)[0]


class Usearch(Rows):
    def __init__(self, job):
        from usearch.index import Index, MetricKind

        metric = MetricKind.IP if job["metric"] == "cosine" else MetricKind.L2sq
        self.index = Index(ndim=job["dimension"], metric=metric, dtype="f32", connectivity=16)

    def build(self, base):
        self.index.add(numpy.arange(len(base), dtype=numpy.uint64), base, threads=1)

    def save(self, path):
        self.index.save(path)

    def open(self, path):
        self.index.load(path)

    def set(self, setting):
        self.index.expansion_search = setting

    def find(self, rows, k):
        keys = self.index.search(rows, k, threads=1).keys
        return keys.reshape(len(rows), k)


class Voyager(Rows):
    def __init__(self, job):
        import voyager

        self.module = voyager
        # Vectors are normalised already, so that the cheaper euclidean order is that of the cosine.
        self.dimension = job["dimension"]

    def build(self, base):
        self.index = self.module.Index(
            self.module.Space.Euclidean, num_dimensions=self.dimension, M=16, ef_construction=200, random_seed=SEED
        )
        self.index.add_items(base, num_threads=1)

    def save(self, path):
        self.index.save(path)

    def open(self, path):
        self.index = self.module.Index.load(path)

    def set(self, setting):
        self.ef = setting

    def find(self, rows, k):
        return self.index.query(rows, k=k, num_threads=1, query_ef=self.ef)[0]


class Faiss(Rows):
    def __init__(self, job):
        import faiss

        faiss.omp_set_num_threads(1)
        self.faiss = faiss
        self.kind = job["engine"].partition("-")[2]
        self.job = job

    def build(self, base):
        lists = int(4 * len(base) ** 0.5)
        dimension = self.job["dimension"]
        recipe = {
            "hnsw32": "HNSW32",
            "ivf": f"IVF{lists},Flat",
            "ivfpqfs": f"IVF{lists},PQ{dimension // 2}x4fs,RFlat",
            "ivfrabitqfs": f"IVF{lists},RaBitQfs,RFlat",
        }[self.kind]
        # Vectors are normalised already, so that the euclidean order is that of the cosine.
        self.index = self.faiss.index_factory(dimension, recipe, self.faiss.METRIC_L2)
        self.index.train(base)
        self.index.add(base)

    def save(self, path):
        self.faiss.write_index(self.index, path)

    def open(self, path):
        self.index = self.faiss.read_index(path)
        if self.kind != "hnsw32":
            inner = getattr(self.index, "base_index", self.index)
            self.lists = self.faiss.downcast_index(inner)

    def set(self, setting):
        if self.kind == "hnsw32":
            self.index.hnsw.efSearch = setting
        elif self.kind == "ivf":
            self.index.nprobe = setting
        else:
            self.lists.nprobe, self.index.k_factor = setting

    def find(self, rows, k):
        return self.index.search(rows, k)[1]


PACKAGES = {"faiss": "faiss-cpu"}
KINDS = {"annoy": Annoy, "hnswlib": Hnswlib, "usearch": Usearch, "voyager": Voyager, "faiss": Faiss}


def build(job):
    engine = KINDS[job["engine"].partition("-")[0]](job)
    base = numpy.fromfile(job["base"], "<f4").reshape(-1, job["dimension"])
    forget_peak()
    before = memory()["VmRSS"]
    wall, cpu = time.perf_counter(), time.process_time()
    engine.build(base)
    cost = {
        "build_cpu": time.process_time() - cpu,
        "build_wall": time.perf_counter() - wall,
        "rows_cpu": 0.0,
        "peak_bytes": max(memory()["VmHWM"] - before, 0),
    }
    engine.save(job["index"])
    return cost


def run(engine, job, order):
    ask = engine.at_once if order["mode"] == "batch" else engine.one_by_one
    ask(job["k"], order["setting"], order["warm"])
    wall, cpu = time.perf_counter(), time.process_time()
    answers = ask(job["k"], order["setting"], order["count"])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    used = memory()
    result = {"cpu": cpu, "wall": wall, "resident_bytes": used["VmRSS"], "anonymous_bytes": used["RssAnon"]}
    if order["answers"]:
        result["answers"] = [[int(row) for row in rows] for rows in answers]
    return result


def main():
    job = json.loads(sys.argv[1])
    # Whatever a library prints must not mix with the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        print(json.dumps(answer), file=out, flush=True)

    if job["do"] == "build":
        say(build(job))
        return
    queries = numpy.fromfile(job["queries"], "<f4").reshape(-1, job["dimension"])
    kind = job["engine"].partition("-")[0]
    engine = KINDS[kind](job)
    start = time.perf_counter()
    engine.open(job["index"])
    say({"version": version(PACKAGES.get(kind, kind)), "open_wall": time.perf_counter() - start})
    engine.prepare(queries)
    for line in sys.stdin:
        say(run(engine, job, json.loads(line)))


main()
