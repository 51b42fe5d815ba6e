"""HAProxy: mode tcp with splicing on, one thread."""

from . import Leg
from ..places import Place


def command(leg: Leg, place: Place) -> list[str]:
    bulk = leg.profile == "bulk"
    has_tls = leg.terminates or leg.originates
    # `auto` doesn't splice these streams, as strace shows; the other two do. With TLS nothing is spliced.
    splicing = "option splice-request\n  option splice-response" if bulk and not has_tls else "option splice-auto"
    accept = connect = ""
    if identity := leg.terminates:
        bundle = pem(identity, leg, place)
        accept = f" ssl crt {bundle} ca-file {identity.trust_bundle} verify required"
        accept += " ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519 no-tls-tickets"
    if identity := leg.originates:
        bundle = pem(identity, leg, place)
        # The chain is verified; HAProxy can't check a URI name, which saves it a little work.
        connect = f" ssl crt {bundle} ca-file {identity.trust_bundle} verify required"
        connect += " ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256"
        # The host's, Debian 12's, doesn't know the word for servers; its OpenSSL has nothing else to agree on first.
        connect += " curves X25519" if place.root else ""
    routes = "".join(
        f"listen route{port}\n"
        f"  bind 127.0.0.1:{port} backlog 4096{accept}\n"
        f"  server target 127.0.0.1:{target}{connect}\n"
        for port, target in leg.routes)
    text = f"""global
  nbthread {leg.workers}
  maxconn {leg.connections}
  {"tune.pipesize 262144" if bulk else ""}
  {"tune.bufsize 131072" if bulk and has_tls else ""}
  tune.ssl.cachesize 20000
defaults
  mode tcp
  {splicing}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
{routes}"""
    return [place.program("haproxy"), "-db", "-f", place.write(f"{leg.name}.cfg", text)]


def pem(identity, leg: Leg, place: Place) -> str:
    """Certificate chain and key in one file, as `crt` wants them."""
    parts = [place.outside(path.rsplit("/", 1)[1]).read_text() for path in (identity.certificate, identity.private_key)]
    return place.write(f"{leg.name}.pem", "".join(parts))
