// Which kernel interface the workers run on, chosen once at start.

public import IOUring

/// A kernel interface that was found to work on this host.
public enum Engine: String, Sendable {
  case ioUring = "io_uring"

  /// Tries what the configuration asks for.
  /// - Throws: why the host refuses, with the mend.
  public static func select(_ wish: Configuration.Engine) throws(RingError) -> Engine {
    try RingSupport.check()
    return .ioUring
  }
}
