"""/metrics in both formats, by the parser of Prometheus's own Python client, and the queries of docs/grafana.json over what it says."""

import json
import os
import re
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from checks import PORT, run, same

URL = f"http://127.0.0.1:{PORT}/metrics"
DASHBOARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/grafana.json")
OPEN = "application/openmetrics-text; version=1.0.0"


def scrape(accept):
    request = urllib.request.Request(URL, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["content-type"], answer.read().decode()


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append((family.type, sample.labels, sample.value))
    return found


def check_both_formats_say_the_same():
    kind, text = scrape("text/plain")
    same("the type of the plain text", kind, "text/plain; version=0.0.4; charset=utf-8")
    plain = samples(parse_plain(text))
    kind, text = scrape(OPEN)
    same("the type of OpenMetrics", kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    opened = samples(parse_open(text))
    same("the names of samples", sorted(plain), sorted(opened))
    for name, all_of_it in opened.items():
        labels = sorted(sorted(labels.items()) for _, labels, _ in all_of_it)
        others = sorted(sorted(labels.items()) for _, labels, _ in plain[name])
        same(f"the labels of {name}", labels, others)


def check_histograms_add_up():
    _, text = scrape(OPEN)
    found = samples(parse_open(text))
    counts = {labels["cmd"]: value for _, labels, value in found["redpoll_command_latency_seconds_count"]}
    calls = {labels["cmd"]: value for _, labels, value in found["redpoll_commands_total"]}
    same("one SET", counts["set"], calls["set"])
    buckets = {}
    for _, labels, value in found["redpoll_command_latency_seconds_bucket"]:
        buckets.setdefault(labels["cmd"], []).append((float(labels["le"]), value))
    for command, values in buckets.items():
        same(f"the last bucket of {command}", values[-1], (float("inf"), counts[command]))
        same(f"{command}'s buckets ascend", values, sorted(values))


def selectors(expression):
    """Each metric of a query with its matchers, and whether its growth is asked for."""
    pattern = r"(\w*\()?\b(redpoll_\w+)(?:\{([^}]*)\})?"
    for call, name, matchers in re.findall(pattern, expression):
        pairs = re.findall(r'(\w+)\s*(=~|=)\s*"([^"]*)"', matchers)
        yield call in ("rate(", "increase("), name, [p for p in pairs if "$" not in p[2]]


def check_queries_of_the_dashboard_find_what_they_ask_for():
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    found = samples(parse_plain(scrape("text/plain")[1]))
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]
    assert len(queries) > 30, queries
    for query in queries:
        same(f"brackets of {query}", query.count("("), query.count(")"))
        asked = list(selectors(query))
        assert asked, query
        for grows, name, matchers in asked:
            assert name in found, f"{name} of {query}"
            kind = found[name][0][0]
            same(f"{name} of {query} grows", kind in ("counter", "histogram"), grows)
            for label, operator, value in matchers:
                fits = re.compile(value if operator == "=~" else re.escape(value)).fullmatch
                assert any(fits(labels.get(label, "")) for _, labels, _ in found[name]), f"{label} of {query}"
    for label in re.findall(r"by \((.*?)\)", " ".join(queries)):
        known = {name for values in found.values() for _, labels, _ in values for name in labels}
        for word in label.split(", "):
            assert word in known | {"instance"}, word


def main():
    check_both_formats_say_the_same()
    check_histograms_add_up()
    check_queries_of_the_dashboard_find_what_they_ask_for()


if __name__ == "__main__":
    run(main)
