/// The effective configuration as the rest of the proxy sees it: plain values, every one with a default, in the shape
/// of the YAML file. `Configuration.load` makes it from a file, the environment and flags; tests and `demo` make it in
/// code. docs/configuration.md describes each key for operators.

/// Everything that an operator can set.
public struct Configuration: Sendable, Equatable {
  public var workers: Workers
  public var engine: Engine
  public var confinement: Confinement
  /// Who this sidecar is; nil when nothing uses TLS.
  public var identity: Identity?
  public var listeners: [Listener]
  public var timeouts: Timeouts
  public var drain: Drain
  public var limits: Limits
  public var admin: Admin
  public var metrics: Metrics
  public var accessLog: AccessLog
  public var log: Log

  public init(
    workers: Workers = .auto, engine: Engine = .auto, confinement: Confinement = .auto, identity: Identity? = nil,
    listeners: [Listener] = [], timeouts: Timeouts = Timeouts(), drain: Drain = Drain(), limits: Limits = Limits(),
    admin: Admin = Admin(), metrics: Metrics = Metrics(), accessLog: AccessLog = AccessLog(), log: Log = Log()
  ) {
    self.workers = workers
    self.engine = engine
    self.confinement = confinement
    self.identity = identity
    self.listeners = listeners
    self.timeouts = timeouts
    self.drain = drain
    self.limits = limits
    self.admin = admin
    self.metrics = metrics
    self.accessLog = accessLog
    self.log = log
  }
}

extension Configuration {
  /// How many worker threads to run.
  public enum Workers: Sendable, Hashable {
    /// One for each CPU that the affinity mask and the cgroup quota leave to the process.
    case auto
    /// 1…256.
    case count(Int)

    /// More workers than any pod is given CPUs; a larger number in a file is a slip of the pen.
    public static let countMax = 256
  }

  /// Which kernel interface the workers use.
  public enum Engine: String, Sendable, Hashable, CaseIterable {
    /// io_uring, or epoll where io_uring is refused.
    case auto
    case ioUring = "io_uring"
    case epoll
  }

  /// What the process gives up once it has started.
  public enum Confinement: String, Sendable, Hashable, CaseIterable {
    /// All that the kernel lets it; what it refuses is logged.
    case auto
    /// All of it, or there is no start.
    case required
    case off
  }

  /// The files that prove who this sidecar is, and the ALPN protocol by which sidecars recognise each other.
  public struct Identity: Sendable, Equatable {
    /// Path of the X.509-SVID chain in PEM, leaf first.
    public var certificate: String
    /// Path of the leaf's private key in PEM.
    public var privateKey: String
    /// Path of the certificates in PEM that peers must chain to.
    public var trustBundle: String
    /// 1…255 bytes (RFC 7301 section 3.1).
    public var alpn: String

    public static let alpnDefault = "sidecar-proxy/1"

    public init(certificate: String, privateKey: String, trustBundle: String, alpn: String = Identity.alpnDefault) {
      self.certificate = certificate
      self.privateKey = privateKey
      self.trustBundle = trustBundle
      self.alpn = alpn
    }
  }

  /// How long a connection may take over each of its phases.
  public struct Timeouts: Sendable, Equatable {
    /// From the first connect(2) to an established upstream connection.
    public var connect: Duration
    /// From the first byte of a TLS handshake to its end.
    public var handshake: Duration
    /// How long a permissive listener waits for enough bytes to tell TLS from plain text.
    public var detect: Duration
    /// How long a connection may carry no byte in either direction; nil is for ever.
    public var idle: Duration?
    /// How long one direction may live on after the other has ended; nil is for ever.
    public var halfClose: Duration?

    public init(
      connect: Duration = .seconds(5), handshake: Duration = .seconds(5), detect: Duration = .seconds(1),
      idle: Duration? = .seconds(3600), halfClose: Duration? = .seconds(30)
    ) {
      self.connect = connect
      self.handshake = handshake
      self.detect = detect
      self.idle = idle
      self.halfClose = halfClose
    }
  }

  /// What happens between SIGTERM and the end of the process; both spans start at the signal.
  public struct Drain: Sendable, Equatable {
    /// How long to go on accepting, since endpoints take time to vanish from their clients' lists.
    public var grace: Duration
    /// When to cut the connections that are left; never less than `grace`.
    public var deadline: Duration

    public init(grace: Duration = .seconds(5), deadline: Duration = .seconds(30)) {
      self.grace = grace
      self.deadline = deadline
    }
  }

  public struct Limits: Sendable, Equatable {
    /// How many downstream connections may be open at once, over all workers and listeners. 1…1,000,000.
    public var connections: Int

    public static let connectionsMax = 1_000_000

    public init(connections: Int = 10_000) {
      self.connections = connections
    }
  }

  /// The control endpoint: it can drain and stop the proxy, so that only the pod itself should reach it.
  public struct Admin: Sendable, Equatable {
    public var bind: SocketAddress
    /// Whether `bind` may be something else than loopback.
    public var allowRemote: Bool

    public static let bindDefault = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 15000)

    public init(bind: SocketAddress = Admin.bindDefault, allowRemote: Bool = false) {
      self.bind = bind
      self.allowRemote = allowRemote
    }
  }

  /// The endpoint for Prometheus and for the kubelet's probes.
  public struct Metrics: Sendable, Equatable {
    public var bind: SocketAddress

    public static let bindDefault = SocketAddress(ip: IPAddress(v4: 0), port: 15020)

    public init(bind: SocketAddress = Metrics.bindDefault) {
      self.bind = bind
    }
  }

  /// One line for each connection when it ends.
  public struct AccessLog: Sendable, Equatable {
    public enum Format: String, Sendable, Hashable, CaseIterable {
      case json
      case text
      /// No access log at all; `path` is not opened.
      case off
    }

    public var path: String
    public var format: Format
    /// How large a file may grow before it is rotated; nil: without a limit. Pipes and terminals are never rotated.
    public var maxSize: ByteSize?
    /// How many files there may be, the current one included. 2…100.
    public var maxFiles: Int

    public static let maxFilesRange = 2...100

    /// Whether the path is a device, such as /dev/stdout; /dev/shm holds files.
    var isDevice: Bool { path.hasPrefix("/dev/") && !path.hasPrefix("/dev/shm/") }

    public init(
      path: String = "/dev/stdout", format: Format = .json, maxSize: ByteSize? = .mebibytes(100), maxFiles: Int = 4
    ) {
      self.path = path
      self.format = format
      self.maxSize = maxSize
      self.maxFiles = maxFiles
    }
  }

  /// The proxy's own log, on standard error.
  public struct Log: Sendable, Equatable {
    public enum Level: String, Sendable, Hashable, CaseIterable {
      case debug, info, warning, error
    }

    public enum Format: String, Sendable, Hashable, CaseIterable {
      case text, json
    }

    public var level: Level
    public var format: Format

    public init(level: Level = .info, format: Format = .text) {
      self.level = level
      self.format = format
    }
  }
}
