"""Goal: two pods with unmodified apps that speak plain HTTP talk over TLS 1.3, IPv4 and IPv6, and only to whom the
policy lets in.

Method: nginx in one pod, curl in two others, one of them with an identity that the policy doesn't name. The bridge
between them is recorded, and every byte on it has to be in a TLS record; so is the loopback of the server's pod, to
see that the recording would have shown plain text.
"""

from harness import podman, wire
from harness.manifest import default_configuration
from harness.mesh import MeshTestCase
from harness.pod import APP_PORT

GREETING = "hello from the app\n"
SUPPORTED_VERSIONS_TLS13 = "0x0304"
SERVER_HELLO = "2"


class Mesh(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client", "other/stranger")
        cls.server = cls.play_server()
        cls.client = cls.play_client()
        cls.stranger = cls.play_client("stranger", "other/stranger")

    def capture(self, interface, name, launcher=()):
        recording = wire.Capture(interface, self.mesh.directory / f"{self.id()}-{name}.pcap", launcher)
        self.addCleanup(recording.abandon)
        return recording

    def test_plain_http_is_tls_13_on_the_wire(self):
        for host in self.server.hosts:
            with self.subTest(host=host):
                inside = ["nsenter", "--net", "--target", str(self.server.app.state.pid)]
                bridge = self.capture(self.mesh.bridge, f"bridge-{host}")
                loopback = self.capture("lo", f"loopback-{host}", inside)
                answer = self.client.get(self.server.url("/hello", host))
                self.assertEqual((answer.stdout, answer.returncode), (GREETING, 0), answer.stderr)
                bridge.stop(self.server.ipv4)
                loopback.abandon()

                self.assertIn(GREETING.encode(), loopback.content, "the recording of plain text shows none")
                self.assertNotIn(GREETING.encode(), bridge.content)
                self.assertNotIn(b"GET /hello", bridge.content)
                streams = bridge.streams(APP_PORT)
                self.assertEqual(len(streams), 1)
                for sent, received in streams:
                    for direction in (sent, received):
                        types = wire.tls_record_types(direction)
                        # A hello in the clear, and nothing else (RFC 8446, 5): certificates are encrypted, too.
                        self.assertEqual(types.count(wire.TLS_HANDSHAKE), 1)
                        self.assertGreater(types.count(wire.TLS_APPLICATION_DATA), 1)
                versions = bridge.fields(
                    f"tls.handshake.type == {SERVER_HELLO}", "tls.handshake.extensions.supported_version",
                    tls_port=APP_PORT,
                )
                self.assertEqual(versions, [[SUPPORTED_VERSIONS_TLS13]])

    def test_the_app_sees_plain_http(self):
        self.assertEqual(self.client.get(self.server.url("/hello?sees")).stdout, GREETING)
        self.server.await_access_log(lambda line: line["principal"], "a line of the access log")
        (line,) = [line for line in self.server.app.logs.splitlines() if "/hello?sees" in line]
        # The sidecar has connected to the address that the client used, from the same one.
        self.assertEqual(line, f'{self.server.ipv4} http "GET /hello?sees HTTP/1.1" 200')

    def test_each_side_knows_the_other(self):
        self.assertEqual(self.client.get(self.server.url("/hello?knows")).stdout, GREETING)
        client, server = ("spiffe://cluster.local/ns/shop/sa/" + name for name in ("client", "server"))
        inbound = self.server.await_access_log(lambda line: line["principal"] == client, "the client's line")
        outbound = self.client.await_access_log(lambda line: line["principal"] == server, "the server's line")
        for line in (inbound, outbound):
            self.assertEqual((line["tls"], line["tls_version"]), ("mutual", "TLSv1.3"))

    def test_the_policy_refuses_a_stranger(self):
        before = self.server.metrics
        for host in self.server.hosts:
            with self.subTest(host=host):
                answer = self.stranger.get(self.server.url("/hello?stranger", host))
                self.assertNotEqual(answer.returncode, 0)
                self.assertEqual(answer.stdout, "")
        stranger = "spiffe://cluster.local/ns/other/sa/stranger"
        line = self.server.await_access_log(lambda line: line["principal"] == stranger, "the stranger's line")
        self.assertEqual((line["reason"], line["sent_bytes"]), ("denied", 0))
        denied = "sidecar_authorization_denied_total"
        self.assertEqual(self.server.metrics.sum(denied) - before.sum(denied), 2)
        self.assertNotIn("/hello?stranger", self.server.app.logs)

    def test_without_tls_nobody_gets_in(self):
        """The stranger goes past its own sidecar: as the user whom the redirection passes over."""
        direct = ["exec", "--user", "1337", self.stranger.app.name, "curl", "--silent", "--max-time", "10"]
        for host in self.server.hosts:
            with self.subTest(host=host):
                answer = podman.attempt(*direct, self.server.url("/hello?plain", host))
                self.assertNotEqual(answer.returncode, 0)
                self.assertEqual(answer.stdout, "")
        self.assertNotIn("/hello?plain", self.server.app.logs)

    def test_a_sidecar_starts_without_a_warning(self):
        for pod in (self.server, self.client):
            warnings = [line for line in pod.sidecar.logs.splitlines() if " WARNING " in line]
            # The machine's limit on open files may be lower than a node's.
            self.assertEqual([line for line in warnings if "limits.connections" not in line], [])

    def test_an_app_reaches_itself_through_the_address_of_its_pod(self):
        for host in self.server.hosts:
            with self.subTest(host=host):
                answer = self.server.get(self.server.url("/hello", host))
                self.assertEqual(answer.stdout, GREETING, answer.stderr)

    def test_the_manifest_is_the_one_of_deploy(self):
        """The policy is what deploy/pod/plain.yaml ships, so that the other tests speak of it."""
        inbound = default_configuration()["listeners"][0]
        self.assertEqual(inbound["allow"], [{"principals": ["spiffe://cluster.local/ns/shop/sa/*"], "ports": [8080]}])
