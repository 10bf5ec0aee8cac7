"""Measures all five metrics beside Annoy 1.17.3: python metrics.py DATA OUT UNDERSTORY [NAME...]   (needs numpy and annoy)

DATA holds the sets of benches/compare, UNDERSTORY is the command, built with --release. OUT gets a folder for each pair of
a set and a metric: base.npy, queries.npy (the first 500), gt.npy (their 100 nearest, ties by row) and a store. Hamming is of
bits: the signs of the embeddings, and pixels above 127. With names, such as sift-manhattan, only those pairs are measured.

One thread, CPU time. Recall is of the ten nearest; under hamming whatever is no farther than the tenth counts. Prints a line
for each setting, and at the end a table: recall and queries a second of the default setting, and the queries a second that
each engine's curve has at recall .95. A set that is in OUT already is not made again; a store is.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import annoy
import numpy

SETS = {
    "minilm-hamming": ("debian-minilm-384-angular", lambda rows: (rows > 0).astype(numpy.uint8)),
    "fashion-hamming": ("fashion-mnist-784-euclidean", lambda rows: (rows > 127).astype(numpy.uint8)),
    "minilm-manhattan": ("debian-minilm-384-angular", lambda rows: rows),
    "fashion-manhattan": ("fashion-mnist-784-euclidean", lambda rows: rows),
    "sift-manhattan": ("sift-photos-128-euclidean", lambda rows: rows),
    "minilm-cosine": ("debian-minilm-384-angular", lambda rows: rows),
    "fashion-euclidean": ("fashion-mnist-784-euclidean", lambda rows: rows),
    "sift-euclidean": ("sift-photos-128-euclidean", lambda rows: rows),
    "minilm-dot": ("debian-minilm-384-angular", lambda rows: rows),
    "fashion-dot": ("fashion-mnist-784-euclidean", lambda rows: rows),
}
QUERIES, DEEP, K, TREES = 500, 100, 10, 10


def by_differences(base, queries):
    """Sums of absolute differences, a query at a time: manhattan and hamming."""
    exact = base.astype(numpy.float32 if base.dtype.kind == "f" else numpy.int16)
    for query in queries.astype(exact.dtype):
        yield numpy.abs(exact - query).sum(1, dtype=numpy.float64)


def by_products(base, queries, metric):
    """What orders as cosine, euclidean and dot do, a query at a time."""
    exact, norms = base.astype(numpy.float64), (base.astype(numpy.float64) ** 2).sum(1)
    for query in queries.astype(numpy.float64):
        products = exact @ query
        yield {"dot": -products, "euclidean": norms - 2 * products, "cosine": -products / numpy.sqrt(norms)}[metric]


def make(source, folder, convert, metric):
    base = convert(numpy.load(source / "base.npy"))
    queries = convert(numpy.load(source / "queries.npy")[:QUERIES])
    summed = metric in ("manhattan", "hamming")
    all_distances = by_differences(base, queries) if summed else by_products(base, queries, metric)
    truth = numpy.empty((len(queries), DEEP), numpy.int32)
    for row, distances in enumerate(all_distances):
        near = numpy.flatnonzero(distances <= numpy.partition(distances, DEEP)[DEEP])
        truth[row] = near[numpy.lexsort((near, distances[near]))][:DEEP]
    folder.mkdir(parents=True)
    for name, array in (("base", base), ("queries", queries), ("gt", truth)):
        numpy.save(folder / f"{name}.npy", array)


def at(curve, recall):
    """Queries a second at a recall, interpolated on the best of the curve; 0 where it does not get there."""
    best = sorted(curve)
    after = [point for point in best if point[0] >= recall]
    before = [point for point in best if point[0] < recall]
    if not after:
        return 0
    if not before:
        return after[0][1]
    (low, slow), (high, fast) = before[-1], after[0]
    return slow + (fast - slow) * (recall - low) / (high - low)


def store(command, folder, metric):
    shutil.rmtree(folder / "store", ignore_errors=True)
    run = lambda *arguments: subprocess.run([command, *arguments, "--json"], capture_output=True, check=True, text=True)
    build = json.loads(run("import", folder / "store", folder / "base.npy", "--metric", metric).stdout)
    files = ("--queries", folder / "queries.npy", "--truth", folder / "gt.npy", "-k", str(K))
    settings = [json.loads(line) for line in run("bench", folder / "store", *files).stdout.splitlines()]
    for setting in settings:
        name = "default" if setting.get("default") else "exact" if setting.get("exact") else setting["effort"]
        print(f"  store {name}: recall {setting['recall']:.4f}, {setting['cpu_qps']:.0f} queries a second", flush=True)
    print(f"  store: built in {build['build_cpu_seconds']:.2f} s", flush=True)
    default = next(setting for setting in settings if setting.get("default"))
    sought = [setting for setting in settings if not setting.get("exact")]
    curve = [(setting["recall"], setting["cpu_qps"]) for setting in sought]
    return curve, (default["recall"], default["cpu_qps"])


def annoys(folder, metric):
    base, queries, truth = (numpy.load(folder / f"{name}.npy") for name in ("base", "queries", "gt"))
    index = annoy.AnnoyIndex(base.shape[1], "angular" if metric == "cosine" else metric)
    start = time.process_time()
    for row, vector in enumerate(base.astype(numpy.float32).tolist()):
        index.add_item(row, vector)
    added = time.process_time()
    index.build(TREES, n_jobs=1)
    print(f"  annoy: built in {time.process_time() - added:.2f} s, items added in {added - start:.2f} s", flush=True)
    limits = [numpy.abs(base[near[K - 1]].astype(int) - query).sum() for near, query in zip(truth, queries)]
    curve = []
    for search_k in (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000):
        rows = queries.astype(numpy.float32).tolist()
        start = time.process_time()
        answers = [index.get_nns_by_vector(row, K, search_k, include_distances=True) for row in rows]
        speed = len(rows) / (time.process_time() - start)
        if metric == "hamming":
            found = sum(distance <= limit for limit, hits in zip(limits, answers) for distance in hits[1])
        else:
            found = sum(len(set(near[:K].tolist()) & set(hits[0])) for near, hits in zip(truth, answers))
        recall = found / (len(rows) * K)
        print(f"  annoy search_k {search_k}: recall {recall:.4f}, {speed:.0f} queries a second", flush=True)
        curve.append((recall, speed))
        if recall > 0.99:
            break
    return curve


def main(data, out, command, *names):
    table = []
    for name in names or SETS:
        source, convert = SETS[name]
        folder, metric = pathlib.Path(out) / name, name.split("-")[1]
        if not folder.exists():
            make(pathlib.Path(data) / source, folder, convert, metric)
        print(name, flush=True)
        (curve, default), theirs = store(command, folder, metric), annoys(folder, metric)
        table.append((name, *default, at(curve, 0.95), at(theirs, 0.95)))
    print("set and metric, default: recall and queries a second, at recall .95: store, annoy, times")
    for name, recall, speed, ours, theirs in table:
        times = f"{ours / theirs:.1f}" if theirs else "annoy does not get there"
        print(f"{name}: {recall:.4f} {speed:.0f}, {ours:.0f} {theirs:.0f}, {times}")


if __name__ == "__main__":
    main(*sys.argv[1:])
