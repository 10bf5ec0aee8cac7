"""What the CSV files say: tables of ratios, a text of the machine, a plot of each set."""

import csv
import importlib.metadata
import math
import os
import pathlib
import platform
import re
import subprocess

import engines

HERE = pathlib.Path(__file__).resolve().parent
RECALLS = [0.90, 0.95, 0.99]
PEER_PACKAGES = ["annoy", "faiss-cpu", "hnswlib", "numpy", "usearch", "voyager"]
PEER_CRATES = ["arroy", "hannoy", "hnsw_rs"]
MIB = 1 << 20

# Colour, dash and mark of a line; what shares a colour is of one family.
LOOK = {
    "understory": ("#0b5d3b", "-", "o"),
    "hnswlib": ("#c2410c", "-", "s"),
    "usearch": ("#7c3aed", "-", "^"),
    "voyager": ("#c2410c", "--", "v"),
    "faiss-hnsw32": ("#1d4ed8", "-", "D"),
    "faiss-ivf": ("#1d4ed8", ":", "x"),
    "faiss-ivfpqfs": ("#0891b2", "-", "P"),
    "faiss-ivfrabitqfs": ("#0891b2", "--", "X"),
    "annoy-10": ("#6b7280", "-", "<"),
    "annoy-50": ("#6b7280", "--", ">"),
    "arroy": ("#a16207", "-", "*"),
    "hannoy": ("#a16207", "--", "h"),
    "hnsw_rs": ("#be185d", "-", "p"),
}


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def front(rows):
    """The points no other beats in both recall and speed, in order of recall."""
    best, kept = 0.0, []
    for recall, qps in sorted(((float(row["recall"]), float(row["cpu_qps"])) for row in rows), reverse=True):
        if qps > best:
            best = qps
            kept.append((recall, qps))
    return kept[::-1]


def spread(recall):
    """The scale on which curves are drawn and read: each step is a tenth of the misses."""
    return -math.log10(max(1.0 - recall, 1e-4))


def speed_at(points, recall):
    """Queries a second at a recall, linear between points in the logarithms of misses and speed; None if the curve
    does not get there. A curve that begins above is read at its beginning, which is what its user would do."""
    for (low, fast), (high, slow) in zip(points, points[1:]):
        if low <= recall <= high:
            share = (spread(recall) - spread(low)) / max(spread(high) - spread(low), 1e-9)
            return math.exp(math.log(fast) + share * (math.log(slow) - math.log(fast)))
    return points[0][1] if points and points[0][0] >= recall else None


def curves(results, name):
    """The front of each engine, in the order of the file."""
    rows = [row for row in read(results / f"{name}.curves.csv") if row["kind"] == "effort"]
    return {
        engine: front([row for row in rows if row["engine"] == engine])
        for engine in dict.fromkeys(row["engine"] for row in rows)
    }


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def ratio(ours, theirs):
    return (
        "-"
        if ours is None or not theirs
        else f"{ours / theirs:.2f}"
        if ours / theirs < 10
        else f"{ours / theirs:.1f}"
    )


def speed_table(results, name):
    found = {
        engine: [speed_at(points, recall) for recall in RECALLS] for engine, points in curves(results, name).items()
    }
    heads = [f"{recall:.2f}" for recall in RECALLS]
    lines = [
        "| engine | "
        + " | ".join(f"at {head}" for head in heads)
        + " | "
        + " | ".join(f"ours : theirs, {head}" for head in heads)
        + " |"
    ]
    lines.append("|---|" + "---:|" * 6)
    ours = found.get(engines.OURS)
    for engine, speeds in found.items():
        ratios = [
            ratio(mine, theirs) if ours and engine != engines.OURS else ""
            for mine, theirs in zip(ours or speeds, speeds)
        ]
        lines.append(f"| {engine} | " + " | ".join(map(number, speeds)) + " | " + " | ".join(ratios) + " |")
    return lines


def cost_table(results, name):
    rows = read(results / f"{name}.builds.csv")
    mine = next((float(row["build_cpu_seconds"]) for row in rows if row["engine"] == engines.OURS), None)
    lines = [
        "| engine | build, CPU s | theirs : ours | build peak, MiB | on disk, MiB | times raw | open, ms | searching, MiB (anonymous) |"
    ]
    lines.append("|---|" + "---:|" * 7)
    for row in rows:
        build, disk = float(row["build_cpu_seconds"]), int(row["disk_bytes"])
        more = float(row["rows_cpu_seconds"])
        cells = [
            row["engine"],
            f"{build:.2f}" + (f" + {more:.2f} rows" if more else ""),
            ratio(build, mine) if row["engine"] != engines.OURS else "",
            f"{int(row['build_peak_bytes']) / MIB:.0f}",
            f"{disk / MIB:.0f}",
            f"{disk / int(row['raw_bytes']):.2f}",
            f"{float(row['open_seconds']) * 1000:.0f}",
            f"{int(row['search_resident_bytes']) / MIB:.0f} ({int(row['search_anonymous_bytes']) / MIB:.0f})",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def promises(results, name):
    rows = [row for row in read(results / f"{name}.curves.csv") if row["kind"] == "stated"]
    said = [f"{row['setting']}: recall {row['recall']}, {float(row['cpu_qps']):,.0f} a second" for row in rows]
    return ["This store as asked, " + "; ".join(said) + "."] if said else []


def everything(results, docs):
    names = sorted(path.name.removesuffix(".curves.csv") for path in results.glob("*.curves.csv"))
    lines = [
        "# Ratios",
        "",
        "Written by `compare.py`. Speeds are queries a second of CPU time, one thread, recall@10.",
        "",
    ]
    for name in names:
        first = read(results / f"{name}.builds.csv")[0]
        lines += [f"## {name} ({int(first['items']):,} x {first['dimension']})", ""]
        lines += speed_table(results, name) + [""] + cost_table(results, name) + [""] + promises(results, name) + [""]
        plot(results, name, docs / f"compare-{name}.svg")
    text = "\n".join(lines).rstrip() + "\n"
    (results / "ratios.md").write_text(text)
    print(text)


def plot(results, name, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "compare", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for engine, points in curves(results, name).items():
        points = [point for point in points if point[0] >= 0.79]
        colour, dash, mark = LOOK.get(engine, ("#000000", "-", "."))
        heavy = engine == engines.OURS
        across, up = [spread(recall) for recall, _ in points], [qps for _, qps in points]
        style = {"linewidth": 2.6 if heavy else 1.2, "markersize": 5 if heavy else 4, "zorder": 3 if heavy else 2}
        axes.plot(across, up, color=colour, linestyle=dash, marker=mark, label=engine, **style)
    ticks = [0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998]
    axes.set_xticks([spread(recall) for recall in ticks], [f"{recall:g}" for recall in ticks])
    axes.set_xlim(spread(0.79), spread(0.9985))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries a second of CPU time, one thread")
    axes.set_title(name)
    axes.grid(True, which="major", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def machine(results):
    """Writes what the numbers were measured on and with."""
    lines = [f"processor: {processor()}", f"cores: {os.cpu_count()}", f"memory: {memory()}"]
    lines += [
        f"kernel: {platform.system()} {platform.release().partition('-')[0]}",
        f"python: {platform.python_version()}",
    ]
    lines.append("compiler: " + said_by("rustc", "--version"))
    lines.append("this store: commit " + said_by("git", "-C", str(HERE), "describe", "--always", "--dirty"))
    lines += [f"{package}: {installed(package)}" for package in PEER_PACKAGES]
    lock = (HERE / "Cargo.lock").read_text()
    for crate in PEER_CRATES:
        at = re.search(rf'name = "{crate}"\nversion = "([^"]+)"', lock)
        lines.append(f"{crate}: {at.group(1) if at else 'absent'}")
    lines.append(f"load at the end: {os.getloadavg()[0]:.2f}")
    (results / "machine.txt").write_text("\n".join(lines) + "\n")


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    field = lambda name: (re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE) or [None, "?"])[1]
    wide = [flag for flag in ("avx2", "avx512bw", "avx512_vnni") if f" {flag} " in field("flags") + " "]
    return f"{field('model name')} (family {field('cpu family')}, model {field('model')}; {', '.join(wide)})"


def memory():
    try:
        kib = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    except OSError:
        return "?"
    return f"{kib / MIB:.1f} GiB"


def said_by(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def installed(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    everything(HERE / "results", HERE.parent.parent / "docs")
