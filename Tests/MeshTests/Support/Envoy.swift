// Envoy as a TCP proxy with mutual TLS on one side, as a mesh of its own kind would set it up.

import TestSupport

enum Envoy {
  /// On which of its sides it speaks TLS.
  enum TLSSide { case towardsUpstream, towardsDownstream }

  /// Starts Envoy on a free port.
  ///
  /// - Parameter expecting: the SPIFFE ID that the other end of TLS must prove.
  static func start(
    to upstream: Endpoint, tls side: TLSSide, identity: IdentityVolume, expecting id: String,
    in directory: TemporaryDirectory
  ) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    let onListener = side == .towardsDownstream ? transportSocket("Downstream", identity, id) : ""
    let onCluster = side == .towardsUpstream ? transportSocket("Upstream", identity, id) : ""
    let configuration = """
      static_resources:
        listeners:
        - name: listener
          address: {socket_address: {address: 127.0.0.1, port_value: \(endpoint.port)}}
          filter_chains:
          - filters:
            - name: envoy.filters.network.tcp_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: tcp
                cluster: cluster
            \(onListener)
        clusters:
        - name: cluster
          type: STATIC
          connect_timeout: 5s
          load_assignment:
            cluster_name: cluster
            endpoints:
            - lb_endpoints:
              - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: \(upstream.port)}}}
          \(onCluster)

      """
    try Files.write(configuration, to: directory.file("envoy.yaml"))
    return try RealServer(
      [
        try Programs.path("envoy"), "--config-path", directory.file("envoy.yaml"), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "warning",
      ], at: endpoint, in: directory)
  }

  /// In YAML's flow style, so that it fits at any depth.
  private static func transportSocket(_ side: String, _ identity: IdentityVolume, _ id: String) -> String {
    let context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.\(side)TlsContext"
    let insists = side == "Downstream" ? "require_client_certificate: true, " : ""
    return """
      transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": \(context), \(insists)\
      common_tls_context: {tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}, \
      tls_certificates: [{certificate_chain: {filename: "\(identity.certificatePath)"}, \
      private_key: {filename: "\(identity.privateKeyPath)"}}], \
      validation_context: {trusted_ca: {filename: "\(identity.trustBundlePath)"}, \
      match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "\(id)"}}]}}}}
      """
  }
}
