// Real servers behind the sidecar: started on free loopback ports with everything in a temporary directory, ready when
// they take connections, stopped by pid.

import Glibc

/// A running server program.
package final class RealServer: Sendable {
  package let process: ChildProcess
  package let endpoint: Endpoint

  /// Starts the program and waits until it listens.
  package init(_ arguments: [String], at endpoint: Endpoint, in directory: TemporaryDirectory) throws {
    self.endpoint = endpoint
    let process = try ChildProcess(arguments, in: directory)
    self.process = process
    try eventually("\(process.name) listens") {
      guard process.isRunning else {
        throw HarnessError("\(arguments.joined(separator: " ")): \(process.errorOutput) \(process.output)")
      }
      return (try? Connection(to: endpoint)) != nil
    }
  }

  /// Asks it to end, and waits for that.
  package func stop(_ signal: Int32 = SIGTERM) throws {
    process.signal(signal)
    _ = try process.wait()
  }

  /// nginx, serving and storing files under `directory`/files.
  ///
  /// - Parameter tls: directives that make it serve TLS; nil: in the clear.
  package static func nginx(in directory: TemporaryDirectory, tls: String? = nil) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    mkdir(directory.file("files"), 0o755)
    return try nginx(
      """
      http {
        access_log off;
        client_body_temp_path \(directory.file("body"));
        proxy_temp_path \(directory.file("proxy"));
        fastcgi_temp_path \(directory.file("fastcgi"));
        uwsgi_temp_path \(directory.file("uwsgi"));
        scgi_temp_path \(directory.file("scgi"));
        server {
          listen \(endpoint)\(tls == nil ? "" : " ssl");
          \(tls ?? "")
          root \(directory.file("files"));
          client_max_body_size 0;
          location / { dav_methods PUT; }
        }
      }
      """, at: endpoint, in: directory)
  }

  /// nginx as a proxy of streams, from a free port to `upstream`.
  ///
  /// - Parameters:
  ///   - acceptsTLS: whether clients come with TLS.
  ///   - directives: of the server.
  package static func nginxStream(
    to upstream: Endpoint, acceptsTLS: Bool, directives: String, in directory: TemporaryDirectory
  ) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    return try nginx(
      """
      stream {
        server {
          listen \(endpoint)\(acceptsTLS ? " ssl" : "");
          proxy_pass \(upstream);
          \(directives)
        }
      }
      """, modules: ["stream"], at: endpoint, in: directory)
  }

  private static func nginx(
    _ block: String, modules: [String] = [], at endpoint: Endpoint, in directory: TemporaryDirectory
  ) throws -> RealServer {
    // Root's workers would become a user that can't enter the temporary directory.
    let user = geteuid() == 0 ? "user root;\n" : ""
    // Where Debian puts what it builds as a module of its own.
    let loading = modules.map { "load_module /usr/lib/nginx/modules/ngx_\($0)_module.so;\n" }.joined()
    let configuration = """
      daemon off;
      worker_processes 1;
      pid \(directory.file("nginx.pid"));
      error_log stderr warn;
      events { worker_connections 256; }

      """
    try Files.write(user + loading + configuration + block + "\n", to: directory.file("nginx.conf"))
    let arguments = [
      try Programs.path("nginx"), "-e", "stderr", "-p", directory.path, "-c", directory.file("nginx.conf"),
    ]
    return try RealServer(arguments, at: endpoint, in: directory)
  }

  package static func redis(in directory: TemporaryDirectory) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    return try RealServer(
      [
        try Programs.path("redis-server"), "--bind", "127.0.0.1", "--port", "\(endpoint.port)", "--save", "",
        "--appendonly", "no", "--dir", directory.path,
      ], at: endpoint, in: directory)
  }

  package static func iperf(in directory: TemporaryDirectory) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    return try RealServer(
      [try Programs.path("iperf3"), "--server", "--bind", "127.0.0.1", "--port", "\(endpoint.port)"], at: endpoint,
      in: directory)
  }

  /// PostgreSQL with a fresh cluster whose superuser is `sidecar`, without a password.
  package static func postgres(in directory: TemporaryDirectory) throws -> RealServer {
    let endpoint = try Endpoint.freeLoopback()
    let data = directory.file("data")
    mkdir(data, 0o700)
    // PostgreSQL refuses to run as root.
    var launcher: [String] = []
    if geteuid() == 0 {
      guard let nobody = getpwnam("nobody") else { throw HarnessError("no user nobody to run PostgreSQL as") }
      chmod(directory.path, 0o755)
      chown(data, nobody.pointee.pw_uid, nobody.pointee.pw_gid)
      launcher = [
        "setpriv", "--reuid=\(nobody.pointee.pw_uid)", "--regid=\(nobody.pointee.pw_gid)", "--clear-groups",
      ]
    }
    try ChildProcess.run(
      launcher + [
        try Programs.path("initdb"), "--pgdata", data, "--username=sidecar", "--auth=trust", "--encoding=UTF8",
        "--locale=C", "--no-sync",
      ], in: directory)
    return try RealServer(
      launcher + [
        try Programs.path("postgres"), "-D", data, "-h", "127.0.0.1", "-p", "\(endpoint.port)", "-k", data, "-F",
      ], at: endpoint, in: directory)
  }
}
