// The clock of one client: an exchange (request, answer) has `EndpointLimits.exchangeTimeout` from its first byte,
// however slowly it trickles; between exchanges there is `keepAliveTimeout`. First in the channel, where it sees bytes
// before the parser does: a client that never completes a header is not seen any later.

import NIOCore

/// Closes a channel whose exchange or pause takes too long.
final class ExchangeDeadline: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var timer: Scheduled<Void>?
  private var isInExchange = false
  /// Writes that the client hasn't taken yet.
  private var writesPending = 0

  func handlerAdded(context: ChannelHandlerContext) {
    // Who connects has the time of one exchange to say something.
    isInExchange = true
    restart(context, EndpointLimits.exchangeTimeout)
  }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isInExchange {
      isInExchange = true
      restart(context, EndpointLimits.exchangeTimeout)
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    writesPending += 1
    let promise = promise ?? context.eventLoop.makePromise()
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    promise.futureResult.whenComplete { _ in
      let (deadline, context) = bound.value
      deadline.writeCompleted(context)
    }
    context.write(data, promise: promise)
  }

  /// An answer is taken when nothing of it is left to write.
  private func writeCompleted(_ context: ChannelHandlerContext) {
    writesPending -= 1
    guard writesPending == 0, context.channel.isActive else { return }
    isInExchange = false
    restart(context, EndpointLimits.keepAliveTimeout)
  }

  private func restart(_ context: ChannelHandlerContext, _ timeout: TimeAmount) {
    timer?.cancel()
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
  }
}
