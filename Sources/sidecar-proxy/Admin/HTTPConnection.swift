// One client of an endpoint on the event loop: collects a request within its limits, answers it from the route table,
// and closes whoever is too slow, too big or not speaking HTTP. SwiftNIO parses; this decides.

import NIOCore
import NIOHTTP1
import ProxyCore

/// The last handler of an endpoint's channel, after NIOHTTP1's decoder and pipelining handler.
final class HTTPConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    /// No request is under way.
    case idle
    /// The head has come; the body is coming, this many bytes so far.
    case receiving(HTTPRequestHead, bodyBytes: Int)
    /// The last answer is given, or refused: what still comes is dropped until the channel closes, even if it is no HTTP.
    case ending
  }

  private let routes: RouteTable
  private var state = State.idle
  /// Answers that the client's socket has not taken yet.
  private var answersPending = 0

  init(routes: RouteTable) { self.routes = routes }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (unwrapInboundIn(data), state) {
    case (_, .ending):
      break
    case (.head, _) where !context.channel.isWritable:
      // Whoever asks on and on without reading would have its answers pile up in memory: past SwiftNIO's high-water mark
      // of 64 KiB it gets what is on its way, if it takes that in time, and no more.
      state = .ending
    case (.head(let head), _):
      if let refusal = HTTPConnection.refusal(head) { return refuse(refusal, head, context) }
      state = .receiving(head, bodyBytes: 0)
    case (.body(let bytes), .receiving(let head, let bodyBytes)):
      let total = bodyBytes + bytes.readableBytes
      guard total <= EndpointLimits.bodyBytesMax else {
        return refuse(.text(.payloadTooLarge, "the body is too large; none is needed"), head, context)
      }
      state = .receiving(head, bodyBytes: total)
    case (.end, .receiving(let head, _)):
      state = head.isKeepAlive ? .idle : .ending
      let request = HTTPRequest(method: head.method, uri: head.uri, headers: head.headers)
      send(routes.respond(to: request), to: head, keepAlive: head.isKeepAlive, context)
    case (.body, .idle), (.end, .idle):
      break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard error is HTTPParserError else { return context.close(promise: nil) }
    // The answer that is on its way was the last one (RFC 9112 section 9.6).
    if case .ending = state { return }
    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
    refuse(.text(.badRequest, "this is not HTTP/1.1"), head, context)
  }

  /// What is wrong with a request's head.
  static func refusal(_ head: HTTPRequestHead) -> HTTPResponse? {
    let hosts = head.headers["Host"].count
    guard hosts == 1 || (hosts == 0 && head.version == .http1_0) else {
      return .text(.badRequest, "a request has one Host header (RFC 9112 section 3.2)")
    }
    guard head.uri.utf8.count <= EndpointLimits.uriBytesMax else { return .text(.uriTooLong, "the target is too long") }
    let headerBytes = head.headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    guard head.headers.count <= EndpointLimits.headersMax, headerBytes <= EndpointLimits.headerBytesMax else {
      return .text(.requestHeaderFieldsTooLarge, "the header is too large")
    }
    if let length = head.headers["Content-Length"].first.flatMap({ Int($0) }), length > EndpointLimits.bodyBytesMax {
      return .text(.payloadTooLarge, "the body is too large; none is needed")
    }
    return nil
  }

  private func refuse(_ response: HTTPResponse, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    state = .ending
    send(response, to: head, keepAlive: false, context)
  }

  private func send(
    _ response: HTTPResponse, to head: HTTPRequestHead, keepAlive: Bool, _ context: ChannelHandlerContext
  ) {
    var headers = response.headers
    headers.add(name: "Content-Length", value: "\(response.body.count)")
    headers.add(name: "Connection", value: keepAlive ? "keep-alive" : "close")
    let responseHead = HTTPResponseHead(version: .http1_1, status: response.status, headers: headers)
    context.write(wrapOutboundOut(.head(responseHead)), promise: nil)
    if head.method != .HEAD {
      let body = context.channel.allocator.buffer(bytes: response.body)
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    }
    let taken = context.eventLoop.makePromise(of: Void.self)
    answersPending += 1
    let channel = context.channel
    let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
    taken.futureResult.whenComplete { _ in
      connection.value.answersPending -= 1
      let isLast = connection.value.isEnding && connection.value.answersPending == 0
      if !keepAlive || isLast { channel.close(promise: nil) }
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: taken)
  }

  private var isEnding: Bool { if case .ending = state { true } else { false } }
}
