"""Conversations with a sidecar that no proper TLS implementation would have.

  python3 Tests/Conversations client|server SIDECAR_PORT OTHER_PORT CERTIFICATE KEY [WORDS]

client: SIDECAR_PORT is an inbound listener's, strict, before an app at OTHER_PORT, which is played here. server:
SIDECAR_PORT is an outbound listener's whose mesh rule asks for TLS towards OTHER_PORT, which is played here as well.
WORDS: only conversations whose group or name has these.

Prints a line per connection: the local port, the close reason and its detail that the access log must give for it, what
went wrong ("-": nothing), and the conversation's name, with tabs in between.
"""

import sys

import tables  # fills the table
from conversation import TABLE, Stage
from tls13.client import Credentials

role, sidecar_port, other_port, certificate, key = sys.argv[1:6]
words = " ".join(sys.argv[6:])
stage = Stage(role, int(sidecar_port), int(other_port), Credentials(certificate, key))
for conversation in TABLE:
    if role in conversation.roles and words in f"{conversation.group}: {conversation.name}":
        for suite in conversation.suites:
            stage.carry_out(conversation, suite)
            for result in stage.results:
                print(result.port, result.reason, result.detail, result.problem, result.name, sep="\t", flush=True)
            stage.results.clear()
