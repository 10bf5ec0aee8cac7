"""Makes sets of low dimension of real ones, for compare.py: items and queries on the first principal components of the items.

    python lowdim.py DATA OUT [--sets NAME,..] [--dimensions 4,8,16,25,32,50,64]

Components are those of the items alone, largest first, so that a set of 16 dimensions is the first 16 columns of that of 64.
A cosine set is normalised before, and projected without moving the mean. Every folder of OUT has base.npy, queries.npy
(float32), gt.npy (the 10 nearest rows of each query, of float64 distances) and meta.json.
"""

import argparse
import json
import pathlib

import numpy

K = 10
PIECE = 50


def load(path, metric):
    vectors = numpy.load(path).astype(numpy.float64)
    return vectors if metric == "euclidean" else unit(vectors)


def unit(vectors):
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def components(base, metric):
    """The directions in which items spread most: around their mean, or around the origin for the cosine."""
    centred = base - base.mean(axis=0) if metric == "euclidean" else base
    _, directions = numpy.linalg.eigh(centred.T @ centred)
    return directions[:, ::-1]


def nearest(base, queries, metric):
    """The nearest rows of each query; ties by row number."""
    if metric != "euclidean":
        base, queries = unit(base), unit(queries)
    found, squares = [], (base**2).sum(axis=1)
    for start in range(0, len(queries), PIECE):
        piece = queries[start : start + PIECE]
        rough = numpy.argpartition(squares - 2.0 * piece @ base.T, 4 * K, axis=1)[:, : 4 * K]
        for query, rows in zip(piece, numpy.sort(rough, axis=1)):
            exact = ((base[rows] - query) ** 2).sum(axis=1)
            found.append(rows[numpy.argsort(exact, kind="stable")[:K]])
    return numpy.array(found, dtype=numpy.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--sets", default="sift-photos-128-euclidean,debian-minilm-384-angular")
    parser.add_argument("--dimensions", default="4,8,16,25,32,50,64")
    arguments = parser.parse_args()
    for name in arguments.sets.split(","):
        metric = json.loads((arguments.data / name / "meta.json").read_text())["metric"]
        whole, asked = (load(arguments.data / name / f"{what}.npy", metric) for what in ("base", "queries"))
        directions = components(whole, metric)
        for dimension in map(int, arguments.dimensions.split(",")):
            base, queries = ((part @ directions[:, :dimension]).astype(numpy.float32) for part in (whole, asked))
            truth = nearest(base.astype(numpy.float64), queries.astype(numpy.float64), metric)
            folder = arguments.out / f"{name.split('-')[0]}-{dimension:02}"
            folder.mkdir(parents=True, exist_ok=True)
            for part, values in (("base", base), ("queries", queries), ("gt", truth)):
                numpy.save(folder / f"{part}.npy", values)
            meta = {"name": folder.name, "metric": metric, "n": len(base), "d": dimension, "source": name}
            (folder / "meta.json").write_text(json.dumps(meta))
            print(folder)


main()
