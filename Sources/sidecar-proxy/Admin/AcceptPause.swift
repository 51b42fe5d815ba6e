// What the HTTP endpoints do when accept(2) fails for want of descriptors. `Endpoints` puts one in front of each
// listening channel.

import NIOCore

/// Stops accepting for a while. NIO goes on after such an error with the read still pending, and the listening socket
/// stays readable while a client waits in it: the event loop would spin on it (NIO's own `AcceptBackoffHandler` delays
/// the next read, and with one pending there is no next).
final class AcceptPause: ChannelInboundHandler {
  typealias InboundIn = Channel

  /// Long enough to cost nothing, short enough for a scrape's or a probe's timeout.
  private static let length = TimeAmount.milliseconds(500)

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let channel = context.channel
    // Both fail only on a channel that is being closed, which accepts nothing anyway.
    try? channel.syncOptions?.setOption(.autoRead, value: false)
    channel.eventLoop.scheduleTask(in: Self.length) {
      try? channel.syncOptions?.setOption(.autoRead, value: true)
    }
  }
}
