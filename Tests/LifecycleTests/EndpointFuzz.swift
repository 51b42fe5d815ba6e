// Goal: no client of the HTTP endpoints can crash them, make them answer what nobody asked, or anything but HTTP; and how
// its bytes are cut makes no difference. Method: the production pipeline on SwiftNIO's embedded channel. The input is what
// a client sends, behind a byte that says into what pieces it is cut; it is also sent whole, and the answers compared.

import FuzzSupport
import Metrics
import NIOCore
import NIOEmbedded
import NIOHTTP1
import ProxyCore
import Testing

@testable import sidecar_proxy

@Suite("Endpoint fuzzer")
struct EndpointFuzz {
  static let target = FuzzTarget("endpoints", inputMax: 4_096) { input in
    guard let first = input.first else { return }
    let bytes = input.dropFirst()
    let whole = try answers(to: bytes, pieceSize: bytes.count)
    let inPieces = try answers(to: bytes, pieceSize: 1 + Int(first))
    try expect(whole == inPieces, "answered otherwise in pieces of \(1 + Int(first)):\n\(whole)\n---\n\(inPieces)")
    try check(whole, requestsMax: bytes.count { $0 == UInt8(ascii: "\n") } + 1)
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  /// The guard and the negotiations are the product's; what is answered is a stand-in for the proxy behind them.
  private static let routes = RouteTable(
    routes: [
      .init(method: .GET, path: "/metrics") { request in
        let format = ExpositionFormat.negotiate(accept: request.headers["Accept"].joined(separator: ","))
        let isGzip = ContentCoding.acceptsGzip(
          acceptEncoding: request.headers["Accept-Encoding"].joined(separator: ","))
        return .text(.ok, "\(format) \(isGzip)")
      },
      .init(method: .POST, path: "/logging") { request in
        .text(.ok, request.query.map { "\($0.name.utf8.count)=\($0.value.utf8.count)" }.joined(separator: ";"))
      },
    ], refuse: { BrowserGuard.refusal($0, allowRemote: false) })

  /// What the client has been sent when all its bytes are in.
  private static func answers(to bytes: Slice<UnsafeRawBufferPointer>, pieceSize: Int) throws -> String {
    let channel = EmbeddedChannel()
    defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
    try Endpoints.configure(channel.pipeline.syncOperations, routes: routes)
    try channel.connect(to: NIOCore.SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    var rest = bytes
    var text = ""
    while !rest.isEmpty, channel.isActive {
      // An error that the channel reports has been handled by the handlers under test.
      _ = try? channel.writeInbound(ByteBuffer(bytes: rest.prefix(pieceSize)))
      rest = rest.dropFirst(pieceSize)
      channel.embeddedEventLoop.run()
      while let buffer = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
    }
    return text
  }

  /// The answers are well-formed, one after the other, and no more than there can have been requests.
  private static func check(_ text: String, requestsMax: Int) throws(Finding) {
    var rest = Substring(text)
    var count = 0
    while !rest.isEmpty {
      count += 1
      try expect(count <= requestsMax, "\(count) answers to at most \(requestsMax) requests")
      guard rest.hasPrefix("HTTP/1."), let end = rest.firstRange(of: "\r\n\r\n") else {
        throw Finding("not an answer: \(rest.prefix(200))")
      }
      let head = rest[..<end.lowerBound]
      rest = rest[end.upperBound...]
      let lines = head.split(separator: "\r\n")
      let lengths = lines.filter { $0.hasPrefix("Content-Length: ") }
      guard lengths.count == 1, let length = Int(lengths[0].dropFirst("Content-Length: ".count)) else {
        throw Finding("an answer without a length: \(head)")
      }
      // The answer to HEAD has the length of a body that it lacks.
      if !rest.hasPrefix("HTTP/1."), !rest.isEmpty { rest = Substring(rest.utf8.dropFirst(length)) }
    }
  }
}
