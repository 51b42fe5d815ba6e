"""Goal: a Prometheus that scrapes both sidecars counts the connections and bytes that there were, and takes the rules.

Method: a known number of requests, whose sizes curl tells; the real Prometheus, asked over its HTTP API.
"""

from harness import waiting
from harness.manifest import REPOSITORY
from harness.mesh import MeshTestCase
from harness.pod import METRICS_PORT
from harness.prometheus import Prometheus

import yaml

REQUESTS = 12
RULES = REPOSITORY / "deploy/prometheus/rules.yml"
SIZES = "%{size_request} %{size_header} %{size_download}"


class PrometheusScrapes(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client")
        cls.server = cls.play_server()
        cls.client = cls.play_client()
        cls.asked = cls.answered = 0
        for number in range(REQUESTS):
            host = cls.server.hosts[number % 2]
            answer = cls.client.get(cls.server.url("/large", host), "--output", "/dev/null", "--write-out", SIZES)
            request, header, body = map(int, answer.stdout.split())
            cls.asked += request
            cls.answered += header + body
        targets = {pod.name: f"{pod.ipv4}:{METRICS_PORT}" for pod in (cls.server, cls.client)}
        cls.prometheus = Prometheus(cls.mesh.directory, targets, RULES)
        cls.addClassCleanup(cls.prometheus.close)

    def expect(self, expression, value):
        """Waits until Prometheus has scraped what is expected, and then compares all of it."""
        waiting.until(
            lambda: self.prometheus.query(expression) == value,
            lambda: f"{expression} is {value}; it is {self.prometheus.query(expression)}",
        )

    def test_it_reaches_both(self):
        self.expect('up{job="sidecar-proxy"}', {self.server.name: 1, self.client.name: 1})

    def test_connections(self):
        for direction, pod in [("inbound", self.server), ("outbound", self.client)]:
            with self.subTest(direction=direction):
                labels = f'direction="{direction}",tls="mutual"'
                self.expect(f"sum by (pod) (sidecar_connections_opened_total{{{labels}}}) > 0", {pod.name: REQUESTS})
                self.expect(
                    f'sum by (pod) (sidecar_connections_closed_total{{{labels},reason=~".*_closed"}}) > 0',
                    {pod.name: REQUESTS},
                )
                self.expect(
                    f'sum by (pod) (sidecar_tls_handshakes_total{{{labels},result="ok"}}) > 0', {pod.name: REQUESTS}
                )
        self.expect("sum(sidecar_connections_active)", {None: 0})

    def test_bytes(self):
        """Plain bytes, as the apps see them: what TLS adds on the wire isn't among them."""
        for direction, pod in [("inbound", self.server), ("outbound", self.client)]:
            with self.subTest(direction=direction):
                labels = f'{{direction="{direction}"}}'
                self.expect(f"sum by (pod) (sidecar_received_bytes_total{labels}) > 0", {pod.name: self.asked})
                self.expect(f"sum by (pod) (sidecar_sent_bytes_total{labels}) > 0", {pod.name: self.answered})

    def test_the_rules_load_and_none_fails(self):
        with open(RULES, encoding="utf-8") as file:
            groups = yaml.safe_load(file)["groups"]
        names = {rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]}
        waiting.until(
            lambda: all(rule["health"] == "ok" for rule in self.prometheus.rules.values()),
            lambda: f"every rule was evaluated; they are {self.prometheus.rules}",
        )
        self.assertEqual(set(self.prometheus.rules), names)
        firing = [name for name, rule in self.prometheus.rules.items() if rule.get("state") == "firing"]
        self.assertEqual(firing, [])
        self.expect(
            "namespace_pod:sidecar_connections_active:sum", {self.server.name: 0, self.client.name: 0}
        )
