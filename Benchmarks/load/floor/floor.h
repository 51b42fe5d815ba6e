// What the kinds of the floor share: the command line's settings, and sockets on loopback.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How the loop goes about its work. Which is cheapest depends on the work: docs/performance.md has what each costs.
struct settings {
  uint16_t listen_port, target_port;
  struct identity {
    bool terminates;  ///< TLS is towards who connects; otherwise, towards the target.
    const char *certificate, *private_key, *trust_bundle;  ///< Paths of PEM files.
  } identity;         ///< Of the kinds with TLS.
  enum receive {
    RECEIVE_MULTISHOT,  ///< One submission per socket, a completion per message, provided buffers.
    RECEIVE_ONESHOT,    ///< A submission per message, provided buffers.
    RECEIVE_OWN,        ///< A submission per message, into a buffer of the socket's own.
    RECEIVE_READY,      ///< Multishot poll; recv(2) and send(2) once there is something.
  } receive;
  bool bundle;        ///< A completion may cover several provided buffers.
  bool incremental;   ///< A provided buffer is used up piece by piece.
  bool try_first;     ///< A oneshot receive tries at once, instead of waiting for readiness first.
  bool send_directly; ///< send(2) as the message arrives, instead of a submission.
  bool link;          ///< The next receive of a oneshot loop is linked behind the send.
  bool silent_sends;  ///< Sends complete without a completion unless they fail.
  bool fixed_files;   ///< Sockets are registered with the ring.
  bool cooperative;   ///< COOP_TASKRUN in place of SINGLE_ISSUER | DEFER_TASKRUN.
  bool reno;          ///< Reno congestion control, in place of the machine's default.
  bool sized;         ///< Socket buffers of a fixed size, which the kernel doesn't tune.
  bool timed_wait;    ///< Each wait has a timeout, as a proxy with timers needs it.
  unsigned workers;   ///< Processes, each with a listening socket of its own on the port.
  unsigned spin_microseconds;   ///< Looks for completions for so long before sleeping.
  unsigned gather_count;        ///< Sleeps until there are so many completions …
  unsigned gather_microseconds; ///< … or this time has passed and there is one.
};

/// Bytes of a receive. Messages of the benchmark fit into one.
enum { BUFFER_BYTES = 16384, CONNECTIONS_MAX = 10000 };

/// Ends the process with a line on standard error.
_Noreturn void fail(const char *what);

/// A listening socket on 127.0.0.1, one of several where there are several workers.
int listen_on(const struct settings *settings);
/// A connection to 127.0.0.1; complete when this returns, since loopback answers within connect(2).
int connect_to(const struct settings *settings);
/// Options of an accepted or connected socket.
void set_options(int descriptor, const struct settings *settings);
/// send(2) of a whole message. A socket buffer that doesn't take it ends the process: the floor is for messages, each
/// answered before the next, and never gets there.
void send_whole(int descriptor, const void *bytes, size_t count);

void run_epoll(const struct settings *settings);
void run_ring(const struct settings *settings);
void run_splice(const struct settings *settings);
void run_tls(const struct settings *settings);
/// Prints what it found as a line of JSON.
void run_handshakes(double seconds, const struct identity *client, const struct identity *server);
