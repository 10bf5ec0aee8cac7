#!/usr/bin/env python3
"""Makes the sample beside this script from the full set it was drawn from. Standard library only.

    python3 make_sample.py SOURCE_FOLDER [TARGET_FOLDER]

SOURCE_FOLDER holds base.npy and queries.npy (float16), gt.npy (int32: the nearest base rows of each query), and
texts.jsonl and queries_text.jsonl (one object a row). The choice is deterministic and described in README.md.
"""

import json
import struct
import sys
from pathlib import Path

ROWS = 5_000
QUERIES = 100
# Questions of a kind that anybody can judge by reading: weather, wiping disks, maps. They come first.
READABLE_QUERIES = [678, 120, 0]
NEIGHBOURS = 10


def read_npy(path, descr, row_items):
    """The rows of a two-dimensional .npy file of version 1, as byte strings."""
    data = path.read_bytes()
    if data[:8] != b"\x93NUMPY\x01\x00":
        sys.exit(f"{path}: expected a .npy file of version 1.0")
    (header_bytes,) = struct.unpack_from("<H", data, 8)
    header = data[10 : 10 + header_bytes].decode("latin-1")
    if f"'{descr}'" not in header or "'fortran_order': False" not in header:
        sys.exit(f"{path}: expected {descr} in C order, found {header.strip()}")
    rows, columns = (int(side) for side in header.split("(")[1].split(")")[0].split(","))
    row_bytes = columns * row_items
    start = 10 + header_bytes
    return [data[start + row * row_bytes : start + (row + 1) * row_bytes] for row in range(rows)], columns


def write_npy(path, descr, rows, columns):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(rows)}, {columns}), }}"
    padding = -(10 + len(header) + 1) % 64
    header = header + " " * padding + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1"))
        for row in rows:
            file.write(row)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_lines(path, objects):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for item in objects:
            kept = {"name": item["name"], "text": item["text"]}
            file.write(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n")


def spread(count, total):
    """`count` different numbers below `total`, evenly spaced."""
    return [position * total // count for position in range(count)]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent
    base, dim = read_npy(source / "base.npy", "<f2", 2)
    queries, _ = read_npy(source / "queries.npy", "<f2", 2)
    truth, truth_columns = read_npy(source / "gt.npy", "<i4", 4)
    texts = read_lines(source / "texts.jsonl")
    query_texts = read_lines(source / "queries_text.jsonl")

    others = [query for query in range(len(queries)) if query not in READABLE_QUERIES]
    chosen_queries = READABLE_QUERIES + [others[place] for place in spread(QUERIES - len(READABLE_QUERIES), len(others))]
    chosen = set()
    for query in chosen_queries:
        chosen.update(struct.unpack(f"<{truth_columns}i", truth[query])[:NEIGHBOURS])
    rest = [row for row in range(len(base)) if row not in chosen]
    chosen.update(rest[place] for place in spread(ROWS - len(chosen), len(rest)))
    rows = sorted(chosen)

    write_npy(target / "embeddings.npy", "<f2", [base[row] for row in rows], dim)
    write_lines(target / "texts.jsonl", [texts[row] for row in rows])
    write_npy(target / "queries.npy", "<f2", [queries[query] for query in chosen_queries], dim)
    write_lines(target / "queries.jsonl", [query_texts[query] for query in chosen_queries])


if __name__ == "__main__":
    main()
