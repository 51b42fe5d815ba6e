// The listeners of a mesh in a test's words.

import TestSupport

extension SidecarProcess.Listener {
  /// An outbound listener that originates mutual TLS.
  /// - Parameter principals: whom the other side must prove to be.
  static func outbound(to upstream: Endpoint, principals: [String]) throws -> SidecarProcess.Listener {
    let patterns = principals.map { "\"\($0)\"" }.joined(separator: ", ")
    return try .init(
      "outbound", direction: "outbound", target: "\(upstream)", options: ["mesh": "[{principals: [\(patterns)]}]"])
  }
}
