"""Writes the fixtures of this test with Annoy 1.17.3 itself: small .ann files and what Annoy answers from them.

    python3 -m venv /tmp/annoy && /tmp/annoy/bin/pip install annoy==1.17.3
    /tmp/annoy/bin/python tests/annoy/make_fixtures.py

Two files are of layouts that no published package writes (hamming as it was packed before 1.17, dot as it is on the
main branch); they are made from those of 1.17.3 by moving fields, and only exhaustive searches of them are recorded.
"""

import json
import os
import random
import struct

from annoy import AnnoyIndex

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
QUERIES = 12
EXHAUSTIVE = 10**9


def vector(generator, metric, f):
    if metric == "hamming":
        return [float(generator.random() < 0.5) for _ in range(f)]
    length = 2.0 ** generator.uniform(-2, 2) if metric == "dot" else 1.0
    return [length * generator.gauss(0, 1) for _ in range(f)]


def build(name, metric, f, ids, trees, seed):
    generator = random.Random(seed)
    index = AnnoyIndex(f, metric)
    for item in ids:
        index.add_item(item, vector(generator, metric, f))
    index.set_seed(seed)
    index.build(trees, 1)
    path = os.path.join(FOLDER, name + ".ann")
    index.save(path)
    return path, generator


def answers(path, metric, f, generator, budgets, ids, trees, file_format="release"):
    """What Annoy finds in a file of its own format."""
    index = AnnoyIndex(f, metric)
    index.load(path)
    searches = []
    for number in range(QUERIES):
        budget, n = budgets[number % len(budgets)], [10, 1, 25][number % 3]
        if number % 2:
            item = generator.choice(ids)
            found, distances = index.get_nns_by_item(item, n, budget, include_distances=True)
            searches.append({"item": item})
        else:
            query = vector(generator, metric, f)
            found, distances = index.get_nns_by_vector(query, n, budget, include_distances=True)
            searches.append({"vector": query})
        searches[-1].update(n=n, search_k=budget, ids=found, distances=distances)
    pairs = [[generator.randrange(index.get_n_items()) for _ in range(2)] for _ in range(10)]
    return {
        "metric": metric,
        "f": f,
        "format": file_format,
        "items": index.get_n_items(),
        "present": len(ids),
        "trees": trees,
        "searches": searches,
        "pairs": [[i, j, index.get_distance(i, j)] for i, j in pairs],
        "vectors": [[i, index.get_item_vector(i)] for i in ids[:3]],
    }


def record(name, content):
    with open(os.path.join(FOLDER, name + ".json"), "w") as file:
        json.dump(content, file, separators=(",", ":"))
        file.write("\n")


def plain(name, metric, f, ids, trees, seed):
    path, generator = build(name, metric, f, ids, trees, seed)
    record(name, answers(path, metric, f, generator, [-1, 40, 300, EXHAUSTIVE], ids, trees))


def nodes_of(path, size):
    with open(path, "rb") as file:
        content = file.read()
    return [content[at : at + size] for at in range(0, len(content), size)]


def packed_hamming(name):
    """Hamming as up to 1.16.3: no padding before the vector, so a bucket holds one id less."""
    f, ids, size = 60, list(range(40)), 24
    for seed in range(1000):
        path, generator = build(name, "hamming", f, ids, 2, seed)
        nodes = nodes_of(path, size)
        counts = [struct.unpack_from("<i", node)[0] for node in nodes]
        if 5 not in counts:
            break
    else:
        raise SystemExit("no seed gives a file without full buckets")
    expected = answers(path, "hamming", f, generator, [EXHAUSTIVE], ids, 2, "packed")
    with open(path, "wb") as file:
        for node, count in zip(nodes, counts):
            is_bucket = 1 < count <= 4
            file.write(node[: size - 4] if is_bucket else node[:12] + node[16:])
    record(name, expected)


def unreleased_dot(name):
    """Dot as on the main branch: the largest squared norm and a flag behind the factor."""
    f, ids, trees = 30, [i for i in range(150) if i % 7], 3
    size, items = 16 + 4 * f, ids[-1] + 1
    for seed in range(1000):
        path, generator = build(name, "dot", f, ids, trees, seed)
        nodes = nodes_of(path, size)
        counts = [struct.unpack_from("<i", node)[0] for node in nodes[items:]]
        # A bucket of 1.17.3 holds f + 3 ids, one of the main branch f + 5: a split between them would become one.
        if not any(f + 3 < count <= f + 5 for count in counts):
            break
    else:
        raise SystemExit("no seed gives a file without such splits")
    expected = answers(path, "dot", f, generator, [EXHAUSTIVE], ids, trees, "unreleased")
    length = max(sum(x * x for x in struct.unpack_from(f"<{f}f", node, 16)) for node in nodes[:items])
    with open(path, "wb") as file:
        for number, node in enumerate(nodes):
            count = struct.unpack_from("<i", node)[0]
            if number >= items and count <= f + 3:
                file.write(node + bytes(8))
            else:
                file.write(node[:16] + struct.pack("<fB3x", length, 1) + node[16:])
    record(name, expected)


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    holes = [i for i in range(400) if i % 3]
    plain("angular", "angular", 16, holes, 6, 11)
    plain("euclidean", "euclidean", 12, list(range(350)), 6, 12)
    plain("manhattan", "manhattan", 12, holes, 6, 13)
    plain("dot", "dot", 16, list(range(300)), 6, 14)
    plain("hamming", "hamming", 130, list(range(300)), 4, 15)
    plain("one_bucket", "euclidean", 40, [1, 2, 5, 19], 5, 16)
    plain("one_item", "angular", 3, [0], 2, 17)
    packed_hamming("hamming_packed")
    unreleased_dot("dot_unreleased")
