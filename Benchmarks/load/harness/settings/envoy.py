"""Envoy: tcp_proxy, one worker thread, no access log and no admin endpoint."""

import json

from . import Leg
from ..places import Place

EXTENSIONS = "type.googleapis.com/envoy.extensions"


def command(leg: Leg, place: Place) -> list[str]:
    listeners = []
    clusters = []
    for port, target in leg.routes:
        chain = {"filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": f"{EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "tcp", "cluster": f"target{port}", "idle_timeout": "3600s"}}]}
        cluster = {
            "name": f"target{port}", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [
                {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]},
            "load_assignment": {"cluster_name": f"target{port}", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(target)}}]}]}}
        if leg.terminates:
            chain["transport_socket"] = transport_socket("Downstream", leg.terminates)
        if leg.originates:
            cluster["transport_socket"] = transport_socket("Upstream", leg.originates)
        listeners.append({
            "name": f"route{port}", "address": address(port), "tcp_backlog_size": 4096, "filter_chains": [chain]})
        clusters.append(cluster)
    text = json.dumps({
        "static_resources": {"listeners": listeners, "clusters": clusters},
        # Default buffers of 1 MiB per connection suit bulk; the overload manager would only add work.
        "stats_config": {"stats_matcher": {"reject_all": True}}}, indent=1)
    return [
        place.bring(leg.program), "--config-path", place.write(f"{leg.name}.json", text), "--concurrency",
        str(leg.workers), "--disable-hot-restart", "--log-level", "error"]


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def transport_socket(side: str, identity) -> dict:
    context = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.{side}TlsContext",
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"]},
            "tls_certificates": [{
                "certificate_chain": {"filename": identity.certificate},
                "private_key": {"filename": identity.private_key}}],
            "validation_context": {
                "trusted_ca": {"filename": identity.trust_bundle},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": identity.peer}}]}}}
    if side == "Downstream":
        context["require_client_certificate"] = True
    else:
        # Its store holds one session otherwise, and TLS 1.3 uses each once.
        context["max_session_keys"] = 1000
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
