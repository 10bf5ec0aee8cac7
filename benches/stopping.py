"""How many items rules of stopping scan for a recall: python stopping.py DATA   (needs numpy and faiss-cpu)

DATA holds the sets of benches/compare. The items of each are parted into leaves of about 48 by k-means, and the leaves of
each query (the first 1,000) are scanned nearest first with exact distances. A rule ends a scan when its score of the next
leaf has passed a threshold: d is the squared distance of that leaf's centroid, r that of the tenth neighbour so far, n the
number of leaves scanned, u that of leaves since the ten last changed. For each rule the threshold is found that gives
recall@10 .90, .95 and .99, and the mean of the items scanned is printed, and its share of what a fixed number takes.
"""

import heapq
import json
import pathlib
import sys

import faiss
import numpy as np

K, LEAF, QUERIES, MOST_LEAVES = 10, 48, 1000, 1200
RECALLS = (0.90, 0.95, 0.99)
LEAST_LEAVES = 2


def load(folder):
    base, queries = (np.load(folder / f"{name}.npy").astype(np.float32) for name in ("base", "queries"))
    queries = queries[:QUERIES]
    if json.loads((folder / "meta.json").read_text())["metric"] == "angular":
        base, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (base, queries))
    return base, queries, np.load(folder / "gt.npy")[:QUERIES, :K]


def scans(base, queries, truth):
    """For each query and leaf, nearest leaves first: d, r before its scan, u before it; recall and items after it."""
    count = len(base) // LEAF
    means = faiss.Kmeans(base.shape[1], count, niter=6, max_points_per_centroid=LEAF, min_points_per_centroid=1, seed=1)
    means.train(base)
    index = faiss.IndexFlatL2(base.shape[1])
    index.add(means.centroids)
    leaf = index.search(base, 1)[1][:, 0]
    order, sizes = np.argsort(leaf, kind="stable"), np.bincount(leaf, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    nearness, ranked = index.search(queries, min(count, MOST_LEAVES))
    shape = nearness.shape
    tenth, unchanged, recall, items = (np.zeros(shape) for _ in range(4))
    for row, query in enumerate(queries):
        farthest = ((base[truth[row]] - query) ** 2).sum(1).max() * (1 + 1e-5)
        nearest, found, scanned, changed = [], 0, 0, 0
        for rank, number in enumerate(ranked[row]):
            tenth[row, rank] = -nearest[0] if len(nearest) == K else np.inf
            unchanged[row, rank] = rank - changed
            distances = ((base[order[starts[number] : starts[number + 1]]] - query) ** 2).sum(1)
            for distance in distances[distances < tenth[row, rank]]:
                if len(nearest) < K:
                    heapq.heappush(nearest, -distance)
                elif distance < -nearest[0]:
                    heapq.heapreplace(nearest, -distance)
                else:
                    continue
                changed = rank
            found += int((distances <= farthest).sum())
            scanned += len(distances)
            recall[row, rank], items[row, rank] = min(found, K) / K, scanned
    return nearness, tenth, unchanged, recall, items


def cost(score, recall, items):
    """Mean items scanned at each of the recalls."""
    highest = np.maximum.accumulate(score[:, LEAST_LEAVES:], axis=1)
    rows, points = np.arange(len(score)), []
    for threshold in np.linspace(np.quantile(highest[:, 0], 0.02), np.quantile(highest[:, -1], 0.98), 400):
        last = np.minimum(LEAST_LEAVES + (highest <= threshold).sum(1), score.shape[1]) - 1
        points.append((recall[rows, last].mean(), np.log(items[rows, last].mean())))
    points.sort()
    return np.exp(np.interp(RECALLS, *zip(*points)))


def main(data):
    for folder in sorted(path.parent for path in pathlib.Path(data).glob("*/base.npy")):
        nearness, tenth, unchanged, recall, items = scans(*load(folder))
        leaves = np.log(np.arange(1, nearness.shape[1] + 1))[None] + np.zeros_like(nearness)
        has_ten, r = np.isfinite(tenth), np.where(np.isfinite(tenth), tenth, 1)
        once = lambda score: np.where(has_ten, score, -1e9)
        rules = {
            "n": leaves,
            "d": nearness,
            "d / d of the nearest": nearness / nearness[:, :1],
            "d - r": once(nearness - r),
            "d / r": once(nearness / r),
            "u": unchanged,
            "n u": leaves + np.log(unchanged + 1),
            **{f"n (d / r)^{power}": once(leaves + power * np.log(nearness / r)) for power in (2, 3, 4, 6)},
        }
        fixed = cost(leaves, recall, items)
        print(f"\n{folder.name}: items scanned at recall@10 {', '.join(map(str, RECALLS))}, and of a fixed number's")
        for name, score in rules.items():
            costs = cost(score, recall, items)
            print(f"{name:22}", "  ".join(f"{cost:7.0f} ({cost / least:.2f})" for cost, least in zip(costs, fixed)))


if __name__ == "__main__":
    main(sys.argv[1])
