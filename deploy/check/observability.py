"""Holds the rules and the dashboard to the metrics that the product has. Called by deploy/check.sh, in deploy/.

Goal: no query names a metric or a label that isn't there, every alert has been seen to fire and not to fire, and the
dashboard is one that Grafana can draw. Method: docs/metrics.md is the list of metrics (a test holds it to what a
running proxy serves); the dashboard's queries go through promtool as recording rules.
"""

import json
import re
import subprocess
import sys
import tempfile

import yaml

# From the scrape itself: the PodMonitor's labels, and `le` of histograms.
SCRAPE_LABELS = {"namespace", "pod", "job", "instance", "container", "le"}
KNOWN_UNITS = {"short", "s", "bytes", "Bps", "cps", "ops", "percentunit"}
PANELS = {"stat", "timeseries"}
# Of the Prometheus Operator's API (monitoring.coreos.com/v1), as far as it is used here.
POD_MONITOR_KEYS = {"namespaceSelector", "selector", "podMetricsEndpoints"}
ENDPOINT_KEYS = {"port", "path", "interval", "relabelings"}

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


def documented():
    """The labels of each metric of docs/metrics.md; None for the standard ones, which are documented as `process_*`."""
    metrics, common = {}, set()
    for line in open("../docs/metrics.md", encoding="utf-8"):
        if line.startswith("## "):
            common = {"listener", "direction", "tls"} if line == "## Connections\n" else set()
        match = re.match(r"\| `(sidecar_\w+)(?:\{([\w,]+)\})?` \| (\w+) ", line)
        if not match:
            continue
        name, labels, kind = match[1], set((match[2] or "").split(",")) - {""}, match[3]
        names = [name + suffix for suffix in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
        # An info metric is served under its own name in the text format, and its labels are documented or its own.
        for name in names:
            metrics[name] = labels | common
    return metrics


def check_query(place, query, metrics, recorded):
    """Every metric has to be documented, with every label that is matched or grouped by."""
    used = set()
    served = re.sub(r"\w+:[\w:]+", "", query)
    for name, matchers in re.findall(r"\b((?:sidecar|process)_\w+)\b(?:\{([^}]*)\})?", served):
        if name.startswith("process_"):
            continue
        if name not in metrics:
            failures.append(f"{place}: {name} is not in docs/metrics.md")
            continue
        used |= metrics[name]
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            expect(label in metrics[name] | SCRAPE_LABELS, f"{place}: {name} has no label {label}")
    for name in re.findall(r"\b\w+:[\w:]+\b", query):
        expect(name in recorded, f"{place}: {name} is recorded by no rule")
        used |= set(name.split(":")[0].split("_"))
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        for label in filter(None, (word.strip() for word in group.split(","))):
            expect(label in used | SCRAPE_LABELS, f"{place}: no metric of the query has the label {label}")


def check_rules(metrics):
    groups = yaml.safe_load(open("prometheus/rules.yml", encoding="utf-8"))["groups"]
    operator = yaml.safe_load(open("prometheus/prometheusrule.yaml", encoding="utf-8"))
    expect(operator["spec"]["groups"] == groups, "prometheus/prometheusrule.yaml has other groups than rules.yml")
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        check_query(rule.get("alert") or rule["record"], rule["expr"], metrics, recorded)
    tests = yaml.safe_load(open("prometheus/rules-test.yml", encoding="utf-8"))["tests"]
    tested = [case for test in tests for case in test.get("alert_rule_test", [])]
    for alert in (rule["alert"] for rule in rules if "alert" in rule):
        for fires in (True, False):
            cases = [case for case in tested if case["alertname"] == alert and bool(case["exp_alerts"]) == fires]
            expect(cases, f"prometheus/rules-test.yml: no case in which {alert} {'fires' if fires else 'stays quiet'}")
    return recorded


def check_pod_monitor():
    """Kubernetes' schemas don't know it; it has to find the port of the manifests, and to give the rules their job."""
    (monitor,) = yaml.safe_load_all(open("prometheus/podmonitor.yaml", encoding="utf-8"))
    place = "prometheus/podmonitor.yaml"
    expect((monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor"), f"{place}: the kind")
    spec = monitor["spec"]
    expect(set(spec) <= POD_MONITOR_KEYS, f"{place}: unknown keys {set(spec) - POD_MONITOR_KEYS}")
    patch = yaml.safe_load(open("kustomize/component/workload.yaml", encoding="utf-8"))
    containers = patch["spec"]["template"]["spec"]["initContainers"]
    ports = {port["name"] for container in containers for port in container.get("ports", [])}
    for endpoint in spec["podMetricsEndpoints"]:
        expect(set(endpoint) <= ENDPOINT_KEYS, f"{place}: unknown keys {set(endpoint) - ENDPOINT_KEYS}")
        expect(endpoint["port"] in ports, f"{place}: the component names no port {endpoint['port']}")
        expect(endpoint["path"] == "/metrics", f"{place}: nothing is served at {endpoint['path']}")
        jobs = [rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
        expect(jobs == ["sidecar-proxy"], f"{place}: the job is {jobs}, and the rules go by sidecar-proxy")


def check_layout(panels):
    """No two panels share a cell of Grafana's grid, which is 24 columns wide."""
    taken = {}
    for panel in panels:
        grid = panel["gridPos"]
        expect(grid["x"] + grid["w"] <= 24, f"dashboard: {panel['title']} is beyond the right edge")
        for cell in ((x + grid["x"], y + grid["y"]) for x in range(grid["w"]) for y in range(grid["h"])):
            if taken.setdefault(cell, panel["title"]) != panel["title"]:
                failures.append(f"dashboard: {panel['title']} covers {taken[cell]}")
                break


def check_dashboard(metrics, recorded):
    dashboard = json.load(open("grafana/sidecar-proxy.json", encoding="utf-8"))
    panels = dashboard["panels"]
    expect(len({panel["id"] for panel in panels}) == len(panels), "dashboard: two panels have the same id")
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    check_layout(panels)
    queries = []
    for panel in (panel for panel in panels if panel["type"] != "row"):
        title = f"dashboard: {panel['title']}"
        expect(panel["type"] in PANELS, f"{title}: unknown type {panel['type']}")
        expect(panel.get("description"), f"{title}: no description")
        expect(panel["fieldConfig"]["defaults"]["unit"] in KNOWN_UNITS, f"{title}: unknown unit")
        references = [target["refId"] for target in panel["targets"]]
        expect(references and len(set(references)) == len(references), f"{title}: its queries' refIds")
        for target in panel["targets"]:
            expect(target["datasource"]["uid"] == "${datasource}", f"{title}: a fixed data source")
            queries.append((title, target["expr"]))
    queries += [(f"dashboard: {note['name']}", note["expr"]) for note in dashboard["annotations"]["list"]]
    for title, query in queries:
        for variable in re.findall(r"\$(\w+)", query):
            known = variables | {"__rate_interval"}
            expect(variable in known, f"{title}: no variable {variable}")
        check_query(title, query, metrics, recorded)
    rules = [
        {"record": f"dashboard:query{index}", "expr": query.replace("$__rate_interval", "5m")}
        for index, (_, query) in enumerate(queries)
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        result = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
        expect(result.returncode == 0, f"dashboard: {result.stderr}")
    return len(queries)


def main():
    metrics = documented()
    check_pod_monitor()
    recorded = check_rules(metrics)
    queries = check_dashboard(metrics, recorded)
    for failure in failures:
        print(f"check: {failure}", file=sys.stderr)
    if failures:
        sys.exit(1)
    print(f"observability: {len(recorded)} recorded series and {queries} queries of the dashboard name known metrics")


if __name__ == "__main__":
    main()
