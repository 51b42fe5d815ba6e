// Programs that tests start: the sidecar itself, and the real servers and clients around it.

import CTestSupport
import Glibc
import Synchronization

/// A running program. Killed and reaped with the last reference, so that nothing outlives its test.
package final class ChildProcess: Sendable {
  package enum Ending: Sendable, Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    package var description: String {
      switch self {
      case .exited(let status): "exit \(status)"
      case .signalled(let signal): "signal \(signal)"
      }
    }
  }

  package let pid: pid_t
  package let name: String
  /// Where standard output and standard error go.
  package let outputPath: String
  package let errorPath: String
  private let ending = Mutex<Ending?>(nil)

  /// - Parameters:
  ///   - arguments: the program, found through PATH when it has no slash, and its arguments.
  ///   - environment: replaces this process's; nil: inherits it.
  ///   - directory: gets the two output files.
  package init(_ arguments: [String], environment: [String]? = nil, in directory: TemporaryDirectory) throws {
    let name = String(arguments[0].split(separator: "/").last ?? "")
    self.name = name
    let number = Self.count.add(1, ordering: .relaxed).newValue
    outputPath = directory.file("\(name)-\(number).out")
    errorPath = directory.file("\(name)-\(number).err")
    pid = try Self.spawn(arguments, environment, outputPath: outputPath, errorPath: errorPath)
  }

  deinit {
    if poll() == nil {
      kill(pid, SIGKILL)
      _ = try? wait()
    }
  }

  private static let count = Atomic<Int>(0)

  package var output: String { (try? Files.read(outputPath)) ?? "" }
  package var errorOutput: String { (try? Files.read(errorPath)) ?? "" }

  package func signal(_ signal: Int32) { kill(pid, signal) }

  package var isRunning: Bool { poll() == nil }

  /// Waits for the end.
  package func wait(within deadline: Duration = .seconds(60)) throws -> Ending {
    try awaitValue(within: deadline, "\(name) (pid \(pid)) ends; it said: \(errorOutput)", value: poll)
  }

  /// Runs a program to its end and expects exit status 0.
  /// - Returns: its standard output.
  @discardableResult
  package static func run(
    _ arguments: [String], environment: [String]? = nil, in directory: TemporaryDirectory,
    within deadline: Duration = .seconds(60)
  ) throws -> String {
    let process = try ChildProcess(arguments, environment: environment, in: directory)
    let ending = try process.wait(within: deadline)
    guard ending == .exited(0) else {
      throw HarnessError(
        "\(arguments.joined(separator: " ")): \(ending): \(process.errorOutput) \(process.output.suffix(2_000))")
    }
    return process.output
  }

  /// Reaps the process if it has ended. Not before the lock is held, so that its pid isn't waited for twice.
  private func poll() -> Ending? {
    ending.withLock { ending in
      if let ending { return ending }
      var status: Int32 = 0
      guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
      // The macros WIFEXITED and so on, which Swift can't import; see wait(2).
      ending = status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .signalled(status & 0x7f)
      return ending
    }
  }

  private static func spawn(
    _ arguments: [String], _ environment: [String]?, outputPath: String, errorPath: String
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    // Sockets of tests that run at the same time must not live on in this child.
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let argv = arguments.map { strdup($0) } + [nil]
    let environmentCopies = environment.map { $0.map { strdup($0) } + [nil] }
    defer {
      for pointer in argv { free(pointer) }
      for pointer in environmentCopies ?? [] { free(pointer) }
    }
    var pid: pid_t = 0
    let result = (environmentCopies ?? inheritedEnvironment).withUnsafeBufferPointer {
      posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, $0.baseAddress)
    }
    guard result == 0 else { throw SystemCallError("start \(arguments[0])", code: result) }
    return pid
  }

  /// This process's environment, as pointers that stay valid.
  private static var inheritedEnvironment: [UnsafeMutablePointer<CChar>?] {
    var pointers: [UnsafeMutablePointer<CChar>?] = []
    var next = environ
    while let pointer = next.pointee {
      pointers.append(pointer)
      next += 1
    }
    return pointers + [nil]
  }

  /// This process's environment, as `NAME=value`.
  package static var environment: [String] { inheritedEnvironment.compactMap { $0.map { String(cString: $0) } } }
}
