"""Goal: with the policies of deploy/examples/namespaces, dev, staging and prod let in exactly whom their files name,
and a call that goes to the wrong namespace by mistake is stopped on its way out.

Method: a server for each namespace, with the example's configuration as it is. Callers with an identity of each
namespace whose own sidecar would let them call anybody, so that the servers decide: all pairs of them. And the servers
themselves as callers, with the example's outbound rules.
"""

from harness.manifest import REPOSITORY, default_configuration
from harness.mesh import MeshTestCase

EXAMPLE = REPOSITORY / "deploy/examples/namespaces"
NAMESPACES = ("dev", "staging", "prod")
# Who is let in where.
WELCOME = {
    "dev/web": {"dev"},
    # The account of dev that runs the integration tests, which staging names.
    "dev/integration-tests": {"dev", "staging"},
    "staging/web": {"staging"},
    "prod/web": {"prod"},
}


def configuration_without_outbound_policy():
    configuration = default_configuration()
    outbound = configuration["listeners"][1]
    for rule in outbound["mesh"]:
        rule["principals"] = ["spiffe://cluster.local/**"]
    return configuration


class Namespaces(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify(*WELCOME, *(f"{namespace}/orders" for namespace in NAMESPACES))
        cls.servers = {}
        for namespace in NAMESPACES:
            text = (EXAMPLE / namespace / "sidecar.yaml").read_text(encoding="utf-8")
            cls.servers[namespace] = cls.mesh.play(cls.mesh.manifest(namespace, text), f"{namespace}/orders")
        cls.callers = {
            principal: cls.play_client(principal.replace("/", "-"), principal, configuration_without_outbound_policy())
            for principal in WELCOME
        }
        tests = (EXAMPLE / "integration-tests/sidecar.yaml").read_text(encoding="utf-8")
        cls.integration_tests = cls.play_client("tests", "dev/integration-tests", tests)

    def is_answered(self, caller, server):
        answer = caller.get(server.url("/hello"))
        return answer.returncode == 0 and answer.stdout == "hello from the app\n"

    def test_each_namespace_lets_in_whom_its_policy_names(self):
        for principal, welcome in WELCOME.items():
            for namespace, server in self.servers.items():
                with self.subTest(principal=principal, namespace=namespace):
                    self.assertEqual(self.is_answered(self.callers[principal], server), namespace in welcome)

    def test_who_is_refused_is_denied_by_name(self):
        self.assertFalse(self.is_answered(self.callers["dev/web"], self.servers["prod"]))
        line = self.servers["prod"].await_access_log(
            lambda line: line["principal"] == "spiffe://cluster.local/ns/dev/sa/web", "the caller's line"
        )
        self.assertEqual((line["reason"], line["sent_bytes"]), ("denied", 0))

    def test_the_integration_tests_reach_staging_alone(self):
        """As the example's own configuration has it: dev would let them in, but isn't what they are for."""
        for namespace, server in self.servers.items():
            with self.subTest(namespace=namespace):
                self.assertEqual(self.is_answered(self.integration_tests, server), namespace == "staging")

    def test_a_call_into_another_namespace_ends_on_its_way_out(self):
        """staging would let nobody of prod in either; here prod's own sidecar refuses first."""
        prod, staging = self.servers["prod"], self.servers["staging"]
        self.assertFalse(self.is_answered(prod, staging))
        line = prod.await_access_log(lambda line: line["direction"] == "outbound", "the call's line")
        self.assertEqual(line["reason"], "upstream_identity_unexpected")
        self.assertEqual(line["principal"], "spiffe://cluster.local/ns/staging/sa/orders")
