// What a client of the HTTP endpoints may cost. Argued against a client that wants to do harm: it can take its own
// connection down, and a bounded number of others' turns, but no traffic and no memory to speak of.

import NIOCore

enum EndpointLimits {
  /// Connections per address; a further one ends the one that came first. A Prometheus, a kubelet and an operator need
  /// five.
  static let connectionsMax = 64
  /// Bytes of the request line's target; the longest real one has 30.
  static let uriBytesMax = 2_048
  /// Header lines, and the bytes of their names and values. Proxies and browsers add about 2 KiB.
  static let headersMax = 64
  static let headerBytesMax = 16_384
  /// No endpoint reads a body; one of this size is read and dropped so that the answer gets through.
  static let bodyBytesMax = 65_536
  /// From a request's first byte to its last, and from a response's first byte until the client has taken it: what a
  /// client that sends or reads one byte a second gets.
  static let exchangeTimeout = TimeAmount.seconds(10)
  /// Between requests: longer than the usual scrape interval of a minute, so that connections are kept.
  static let keepAliveTimeout = TimeAmount.seconds(90)
}
