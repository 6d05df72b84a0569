#!/usr/bin/env python3
"""Prints the table of ratios and draws the two plots from the results of `cargo bench`.

    python3 benches/report.py [--results target/criterion] [group ...]

A group is a name such as `dispatch/cold`, or the first part of several names, such as `dispatch`.
Without one, the table has all groups. The table goes to standard output, the plots to
benches/growth.svg and benches/peers.svg.
"""

import argparse
import json
import sys
from math import ceil, floor, log10
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Group, the functions above and below the line, the direction of the bound, the bound that must
# hold, the bound to aim for. `threads` compares look-ups a second, so the slower function is above
# the line.
BOUNDS = [
    # Against the baseline.
    ("dispatch/cold", "registry", "baseline", "≤", 1.3, 1.1),
    ("dispatch/cold_memory", "registry", "baseline", "≤", 1.6, 1.3),
    ("dispatch/own_write", "registry", "baseline", "≤", 1.6, 1.2),
    ("dispatch/ten_of_1m", "registry", "baseline", "≤", 1.4, 1.15),
    ("dispatch/ten_of_1m", "registry_together", "baseline_together", "≤", 1.4, 1.15),
    ("dispatch/fanout_100k_first", "registry", "baseline", "≤", 1.25, 1.05),
    ("dispatch/fanout_100k", "registry", "baseline", "≤", 1.2, 1.05),
    ("dispatch/many_types", "registry", "baseline", "≤", 1.5, 1.15),
    ("catalog/register", "registry", "baseline", "≤", 1.3, 1.1),
    ("open/memory", "registry", "baseline", "≤", 1.3, 1.1),
    ("open/file", "registry", "baseline", "≤", 1.3, 1.1),
    ("open/first_answer", "registry", "baseline", "≤", 1.4, 1.2),
    ("create/durable", "registry", "baseline", "≤", 1.25, 1.15),
    ("update/durable", "registry", "baseline", "≤", 1.4, 1.2),
    ("create/bulk_100k", "registry", "baseline", "≤", 1.35, 1.2),
    ("list/page_100", "first", "first_baseline", "≤", 1.15, 1.05),
    ("list/page_100", "last", "last_baseline", "≤", 1.15, 1.05),
    ("get/by_name", "registry", "baseline", "≤", 1.3, 1.1),
    ("ensure/unchanged", "registry", "by_name", "≤", 1.5, None),
    ("plan/10k", "registry", "baseline", "≤", 2, None),
    ("export/100k", "registry", "baseline", "≤", 1.6, None),
    ("import/100k", "registry", "baseline", "≤", 1.6, None),
    ("footprint", "registry", "baseline", "≤", 1.15, 1.05),
    # Growth.
    ("dispatch/growth_memory", "1m", "1k", "≤", 1.25, 1.1),
    ("dispatch/growth_memory", "1m_baseline", "1k_baseline", None, None, None),
    ("dispatch/growth_memory", "1m_apart", "1k_apart", "≤", 1.25, 1.1),
    ("dispatch/growth_memory", "1m_apart_baseline", "1k_apart_baseline", None, None, None),
    ("dispatch/growth", "1m", "1k", "≤", 1.3, 1.1),
    ("dispatch/growth", "1m_apart", "1k_apart", None, None, None),
    ("dispatch/growth", "1m_apart_baseline", "1k_apart_baseline", None, None, None),
    ("catalog/register", "registry", "registry_1k", "≤", 1.2, 1.05),
    ("catalog/register", "baseline", "baseline_1k", None, None, None),
    ("list/page_100", "last", "first", "≤", 1.2, 1.05),
    # Cached answers.
    ("dispatch/memory", "registry", "hashmap", "≤", 1.6, 1.1),
    ("dispatch/exclusive", "registry", "hashmap", "≤", 1.6, 1.1),
    ("dispatch/shared", "registry", "data_version", "≤", 1.15, 1.03),
    ("dispatch/subscriber_by_id", "subscriber", "get", "≤", 1.2, None),
    ("dispatch/threads", "one", "two", "≥", 1.8, 2.0),
    ("dispatch/threads", "data_version_two", "shared_two", "≥", 0.9, None),
    ("dispatch/threads", "shared_one", "shared_two", None, None, 1.5),
    ("dispatch/threads", "data_version_one", "data_version_two", None, None, None),
    ("dispatch/beside_writer", "registry", "cached_baseline", "≤", 1.5, None),
    ("dispatch/beside_application", "beside", "alone", "≤", 1.3, None),
    ("dispatch/beside_application_p99", "beside", "alone", "≤", 3, None),
    # Owners.
    ("owner/cold", "registry", "sql", "≤", 1.2, 1.1),
    ("owner/growth", "1m", "1k", "≤", 1.5, 1.2),
    ("owner/growth", "1m_sql", "1k_sql", None, None, None),
    ("owner/patterns", "others", "none", "≤", 1.3, 1.1),
    ("owner/patterns", "unmatched", "none", None, None, None),
    ("owner/patterns", "others", "unmatched", None, None, None),
    ("owner/warm", "registry", "data_version", "≤", 1.1, 1.03),
    ("owner/create", "limited", "unlimited", "≤", 1.1, 1.03),
    ("owner/delete_all", "large", "alone", "≤", 1.5, 1.2),
    # Other ways to match, and the cost of a feature.
    ("dispatch/peers", "linear_scan", "registry", "≥", 10_000, None),
    ("dispatch/peers", "sql_glob", "registry", "≥", 10_000, None),
    ("dispatch/peers", "globset", "registry", "≥", 3, None),
    ("dispatch/cold_encrypted", "registry", "cold", "≤", 1.5, None),
    ("sign/1kB", "registry", "hmac", "≤", 1.2, None),
    ("fork/100k", "registry", "backup", "≤", 1.5, None),
    ("create/history", "kept", "none", "≤", 1.15, None),
]

STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .unit { fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .ours { stroke: #0969da; fill: #0969da }
  .other { stroke: #818b98; fill: #818b98 }
  .line { fill: none; stroke-width: 2 }
  .label { stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .unit { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .ours { stroke: #4493f8; fill: #4493f8 }
    .other { stroke: #9198a1; fill: #9198a1 }
  }
</style>"""


def medians(folder):
    """Returns the median of every function with its confidence interval, by group.

    The unit is ns, or bytes for the footprint.
    """
    found = {}
    for path in sorted(folder.glob("**/new/estimates.json")):
        named = json.loads(path.with_name("benchmark.json").read_text())
        median = json.loads(path.read_text())["median"]
        interval = median["confidence_interval"]
        group = found.setdefault(named["group_id"], {})
        group[named["function_id"]] = (
            median["point_estimate"],
            interval["lower_bound"],
            interval["upper_bound"],
        )
    footprint = folder / "footprint.json"
    if footprint.exists():
        sizes = json.loads(footprint.read_text())
        found["footprint"] = {name: (size, size, size) for name, size in sizes.items()}
    return found


def size(group, value):
    return f"{value:.0f} bytes" if group == "footprint" else time(value)


def time(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def ratio_text(ratio):
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}"


def bound_text(sign, bound):
    return "" if bound is None else f"{sign} {bound:,}"


def asked(group, groups):
    return not groups or any(group == name or group.startswith(f"{name}/") for name in groups)


def table(found, groups):
    yield "| group | ratio | medians | measured | bound | holds | goal |"
    yield "|---|---|---|---:|---:|---|---:|"
    for group, above, below, sign, bound, goal in BOUNDS:
        if not asked(group, groups):
            continue
        functions = found.get(group, {})
        if above not in functions or below not in functions:
            bounded = bound_text(sign, bound)
            yield f"| `{group}` | {above} ÷ {below} | not measured | | {bounded} | | |"
            continue
        top, bottom = functions[above][0], functions[below][0]
        ratio = top / bottom
        holds = ""
        if bound is not None:
            holds = "yes" if (ratio <= bound if sign == "≤" else ratio >= bound) else "**no**"
        what = f"{above} ÷ {below}"
        if group == "dispatch/threads":
            what = f"{below} ÷ {above}, look-ups a second"
        yield (
            f"| `{group}` | {what} | {size(group, top)} ÷ {size(group, bottom)} "
            f"| {ratio_text(ratio)} | {bound_text(sign, bound)} | {holds} "
            f"| {'' if goal is None else goal} |"
        )


def picture(width, height, title, unit, body):
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{title}">',
            STYLE,
            f'<text class="title" x="20" y="28">{title}</text>',
            f'<text class="unit" x="20" y="48">{unit}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def growth(functions):
    """Time of a cold look-up over the number of subscriptions, created together and spread out."""
    left, right, top, bottom = 70, 520, 70, 250
    counts = {"1k": "1,000", "100k": "100,000", "1m": "1,000,000"}
    places = {"1k": left + 50, "100k": left + 50 + (right - left - 100) * 2 / 3, "1m": right - 50}
    lines = [("ours", "", "created together"), ("other", "_apart", "spread out")]
    highest = max(functions[name + suffix][2] for name in counts for _, suffix, _ in lines)
    step = nice(highest / 1e3 / 5)

    def y(ns):
        return bottom - (ns / 1e3) / (5 * step) * (bottom - top)

    body = []
    for line in range(6):
        height = bottom - line * (bottom - top) / 5
        body.append(
            f'<line class="grid" x1="{left}" y1="{height:.1f}" x2="{right}" y2="{height:.1f}"/>'
        )
        body.append(
            f'<text class="unit" x="{left - 8}" y="{height + 4:.1f}" text-anchor="end">'
            f"{line * step:g}</text>"
        )
    for kind, suffix, label in lines:
        points = [(places[name], *functions[name + suffix]) for name in counts]
        path = " ".join(f"{x:.1f},{y(median):.1f}" for x, median, _, _ in points)
        body.append(f'<polyline class="line {kind}" style="fill: none" points="{path}"/>')
        for x, median, lower, upper in points:
            body.append(
                f'<line class="line {kind}" x1="{x:.1f}" y1="{y(lower):.1f}" '
                f'x2="{x:.1f}" y2="{y(upper):.1f}"/>'
            )
            body.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y(median):.1f}" r="4"/>')
            at = y(upper) - 10 if suffix else y(lower) + 20
            body.append(
                f'<text x="{x:.1f}" y="{at:.1f}" text-anchor="middle">{time(median)}</text>'
            )
        body.append(f'<text x="{right - 38}" y="{y(points[-1][1]) + 4:.1f}">{label}</text>')
    for name, count in counts.items():
        body.append(
            f'<text class="unit" x="{places[name]:.1f}" y="{bottom + 20}" text-anchor="middle">'
            f"{count}</text>"
        )
    middle = (left + right) / 2
    body.append(
        f'<text class="unit" x="{middle}" y="{bottom + 42}" text-anchor="middle">'
        "subscriptions in the file (logarithmic)</text>"
    )
    title = "A cold look-up in a growing file"
    unit = "µs to find 10 subscribers, first look-up after another program's change"
    return picture(640, 310, title, unit, body)


def nice(value):
    """The next of 1, 2, 2.5, 3, 4, 5, 10, … that is no smaller."""
    size = 10.0 ** floor(log10(value))
    return next(size * part for part in (1, 2, 2.5, 3, 4, 5, 10) if size * part >= value)


def peers(functions):
    """Bars on a logarithmic axis."""
    labels = [
        ("registry", "webhook-registry"),
        ("globset", "globset of all patterns"),
        ("linear_scan", "every endpoint in turn"),
        ("sql_glob", "GLOB in SQL"),
    ]
    times = [functions[name][0] for name, _ in labels]
    first, last = floor(log10(min(times))), ceil(log10(max(times)))
    first = first - 1 if log10(min(times)) - first < 0.3 else first
    left, right, top, row = 190, 560, 66, 40
    bottom = top + row * len(labels)

    def x(ns):
        return left + (log10(ns) - first) / (last - first) * (right - left)

    body = []
    for power in range(first, last + 1):
        at = x(10.0**power)
        body.append(f'<line class="grid" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        body.append(
            f'<text class="unit" x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">'
            f"{time(10.0**power)}</text>"
        )
    for place, ((name, label), median) in enumerate(zip(labels, times)):
        y = top + place * row + 8
        kind = "ours" if name == "registry" else "other"
        body.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{label}</text>')
        body.append(
            f'<rect class="{kind}" x="{left}" y="{y}" width="{x(median) - left:.1f}" '
            'height="24" rx="2"/>'
        )
        body.append(f'<text x="{x(median) + 8:.1f}" y="{y + 17}">{time(median)}</text>')
    middle = (left + right) / 2
    body.append(
        f'<text class="unit" x="{middle}" y="{bottom + 42}" text-anchor="middle">'
        "time of one answer (logarithmic)</text>"
    )
    title = "Who gets this event? 10 of 100,000 subscriptions"
    return picture(640, bottom + 60, title, "shorter is better", body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measured = HERE.parent / "target" / "criterion"
    parser.add_argument("--results", type=Path, default=measured, metavar="FOLDER")
    parser.add_argument("groups", nargs="*", metavar="group")
    options = parser.parse_args()
    for name in options.groups:
        if not any(asked(group, [name]) for group, *_ in BOUNDS):
            parser.error(f"no group {name}")
    found = medians(options.results)
    if not found:
        sys.exit(f"nothing measured under {options.results}: run cargo bench first")
    print("\n".join(table(found, options.groups)))
    for name, draw in (("growth", growth), ("peers", peers)):
        group = f"dispatch/{name}"
        if group in found and asked(group, options.groups):
            (HERE / f"{name}.svg").write_text(draw(found[group]))


if __name__ == "__main__":
    main()
