// Which kernel interface the workers run on, chosen once at start. Called by the life cycle and by
// `sidecar-proxy validate`.

public import IOUring

/// A kernel interface that was found to work on this host.
public enum Engine: String, Sendable {
  case ioUring = "io_uring"
  case epoll
}

/// What the configuration's wish came to on this host.
public struct EngineChoice: Sendable {
  public var engine: Engine
  /// Why `engine: auto` did not get io_uring, with the mend; for one line of log. Nil where nothing was given up.
  public var fallbackReason: RingError?

  public init(engine: Engine, fallbackReason: RingError? = nil) {
    self.engine = engine
    self.fallbackReason = fallbackReason
  }
}

extension Engine {
  /// Tries what the configuration asks for.
  /// - Parameter check: tries io_uring on this host.
  /// - Throws: why the host refuses the one engine that was asked for, with the mend.
  public static func select(
    _ wish: Configuration.Engine, check: () throws(RingError) -> Void = RingSupport.check
  ) throws(RingError) -> EngineChoice {
    switch wish {
    case .ioUring:
      try check()
      return EngineChoice(engine: .ioUring)
    case .epoll:
      return EngineChoice(engine: .epoll)
    case .auto:
      do throws(RingError) {
        try check()
        return EngineChoice(engine: .ioUring)
      } catch {
        return EngineChoice(engine: .epoll, fallbackReason: error)
      }
    }
  }
}
