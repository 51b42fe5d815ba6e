"""A real Prometheus beside the pods, asked over its HTTP API."""

import json
import socket
import subprocess
import urllib.parse

import yaml

from harness import waiting
from harness.metrics import fetch


class Prometheus:
    """`targets`: from a pod's name to HOST:PORT, labelled as the PodMonitor of deploy/prometheus labels them."""

    def __init__(self, directory, targets, rules):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % probe.getsockname()[1]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{
                "job_name": "sidecar-proxy",
                "static_configs": [
                    {"targets": [target], "labels": {"namespace": "shop", "pod": pod}}
                    for pod, target in targets.items()
                ],
            }],
        }
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self._log = open(directory / "prometheus.log", "w+", encoding="utf-8")
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'prometheus'}",
             f"--web.listen-address={self.address}"],
            stdout=self._log, stderr=subprocess.STDOUT,
        )
        waiting.until(lambda: fetch(f"http://{self.address}/-/ready"), self._what_it_said)

    def _what_it_said(self):
        self._log.seek(0)
        return f"Prometheus is ready; it says:\n{self._log.read()}"

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _api(self, path):
        answer = json.loads(fetch(f"http://{self.address}/api/v1/{path}"))
        if answer["status"] != "success":
            raise AssertionError(f"{path}: {answer}")
        return answer["data"]

    def query(self, expression):
        """The result of an instant query: from each series' label `pod` to its value."""
        data = self._api("query?" + urllib.parse.urlencode({"query": expression}))
        return {series["metric"].get("pod"): float(series["value"][1]) for series in data["result"]}

    @property
    def rules(self):
        """All loaded rules, by name."""
        return {rule["name"]: rule for group in self._api("rules")["groups"] for rule in group["rules"]}
