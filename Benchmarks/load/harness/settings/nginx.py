"""nginx: the stream module."""

from . import Leg
from ..places import Place


def command(leg: Leg, place: Place) -> list[str]:
    accept = ""
    tls = ""
    if identity := leg.terminates:
        accept = " ssl"
        tls += f"""
    ssl_certificate {identity.certificate};
    ssl_certificate_key {identity.private_key};
    ssl_client_certificate {identity.trust_bundle};
    ssl_verify_client on;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519;
    ssl_conf_command NumTickets 1;
    ssl_session_cache shared:sessions:10m;
    ssl_session_tickets off;"""
    if identity := leg.originates:
        # proxy_ssl_verify compares a host name, which a SPIFFE certificate doesn't have, so that nginx has to do
        # without verifying its server: less work than everybody else does.
        tls += f"""
    proxy_ssl on;
    proxy_ssl_certificate {identity.certificate};
    proxy_ssl_certificate_key {identity.private_key};
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_ssl_conf_command Groups X25519;
    proxy_ssl_session_reuse on;"""
    if leg.workers > 1:
        accept += " reuseport"
    bulk_buffer = "128k" if leg.terminates or leg.originates else "256k"
    servers = "".join(
        f"""
  server {{
    listen 127.0.0.1:{port}{accept} backlog=4096;
    proxy_pass 127.0.0.1:{target};
  }}""" for port, target in leg.routes)
    text = f"""user root;
daemon off;
pid {place.inside(leg.name + ".pid")};
error_log stderr crit;
worker_processes {leg.workers};
worker_rlimit_nofile {2 * leg.connections + 200};
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {{ worker_connections {2 * leg.connections + 100}; multi_accept on; }}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_timeout 1h;
    proxy_connect_timeout 5s;
    proxy_buffer_size {bulk_buffer if leg.profile == "bulk" else "16k"};{tls}{servers}
}}
"""
    return [place.program("nginx"), "-e", "stderr", "-p", "/tmp", "-c", place.write(f"{leg.name}.conf", text)]
