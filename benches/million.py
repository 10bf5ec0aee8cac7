"""Makes a million items with near-copies from a set of 200,000: python million.py SET OUT   (needs numpy)

SET holds base.npy and queries.npy (uint8 descriptors). OUT gets base.npy: the set and four copies of it with normal
noise of deviation 8, shuffled; queries.npy: the first 300 queries; gt.npy: their 100 nearest under euclidean distance.
"""

import pathlib
import sys

import numpy

source, out = map(pathlib.Path, sys.argv[1:3])
base = numpy.load(source / "base.npy").astype(numpy.float32)
queries = numpy.load(source / "queries.npy").astype(numpy.float32)[:300]
noise = numpy.random.default_rng(1)
copies = [numpy.clip(base + noise.normal(0, 8, base.shape).astype(numpy.float32), 0, 255) for _ in range(4)]
items = numpy.concatenate([base, *copies])
noise.shuffle(items)
items = items.round()
squares = (items * items).sum(1)
truth = []
for query in queries:
    score = squares - 2 * (items @ query)
    nearest = numpy.argpartition(score, 100)[:100]
    truth.append(nearest[numpy.argsort(score[nearest])])
out.mkdir(exist_ok=True)
numpy.save(out / "base.npy", items.astype(numpy.uint8))
numpy.save(out / "queries.npy", queries)
numpy.save(out / "gt.npy", numpy.array(truth, dtype=numpy.int32))
