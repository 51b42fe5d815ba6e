// What the process gives up, so that whoever takes it over by a bug in it, or in a library under it, gets little more
// than the sockets it holds. `run` enters in two steps: rights that the kernel takes from a thread and from those it
// starts go before there is a second thread; the system-call filter comes when everything is set up, on all threads at
// once. docs/threat-model.md says against whom; docs/adr/0004-confinement.md why it is done this way.

import CLinux
import Glibc

/// The rights that a configuration leaves to the process.
public struct Confinement: Sendable {
  /// What is given up, in the order in which that happens.
  public enum Part: String, Sendable, CaseIterable {
    /// Programs that would raise this process's rights no longer do: what the other parts rest on.
    case privileges = "no new privileges"
    /// Other processes of the same user can't read or trace this one, and a crash writes no key to a core file.
    case memory = "memory closed to others"
    case capabilities
    case files
    case systemCalls = "system calls"
  }

  /// A part that the kernel did not grant.
  public struct Refusal: Error, Sendable, CustomStringConvertible {
    public var part: Part
    var errno: Int32

    public var description: String {
      "\(part.rawValue): \(String(cString: strerror(errno)))\(mend.isEmpty ? "" : "; \(mend)")"
    }

    private var mend: String {
      switch (part, errno) {
      case (.files, ENOSYS), (.files, EPERM):
        "the kernel is built without Landlock, or a seccomp profile hides it: allow the landlock_… calls there"
      case (.files, EOPNOTSUPP): "Landlock is not among the kernel's active security modules (boot option lsm=)"
      case (.systemCalls, _): "the kernel is built without seccomp filters, or a seccomp profile hides them"
      default: ""
      }
    }
  }

  public let mode: Configuration.Confinement
  public let files: FileRules
  /// As bits, of those that the process has.
  let keptCapabilities: UInt64
  /// The listener or endpoint that one capability is kept for.
  let privilegedBind: SocketAddress?
  private var refusals: [Refusal] = []

  /// - Parameter configurationPath: the file that reloads read.
  public init(_ configuration: Configuration, configurationPath: String?) {
    mode = configuration.confinement
    files = FileRules(configuration, configurationPath: configurationPath)
    let binds = configuration.listeners.map(\.bind) + [configuration.admin.bind, configuration.metrics.bind]
    privilegedBind = binds.first { (1..<1_024).contains($0.port) }
    let needed: UInt64 = privilegedBind == nil ? 0 : 1 << UInt64(CAP_NET_BIND_SERVICE)
    keptCapabilities = needed & sidecar_permitted_capabilities()
  }

  /// Gives up what is taken from single threads. Called by the first thread, as long as it is the only one.
  /// - Throws: what the kernel refuses, where the configuration requires it.
  public mutating func enter() throws(StartError) {
    guard mode != .off else { return }
    try take(.privileges, sidecar_prctl(PR_SET_NO_NEW_PRIVS, 1))
    try take(.memory, sidecar_prctl(PR_SET_DUMPABLE, 0))
    try take(.capabilities, sidecar_keep_capabilities(keptCapabilities))
    try take(.files, files.enter())
  }

  /// Puts the filter on all threads. Called when rings and sockets are there.
  /// - Throws: what the kernel refuses, where the configuration requires it.
  public mutating func complete() throws(StartError) {
    guard mode != .off else { return }
    try take(.systemCalls, SystemCallFilter.dataPlane.enter())
  }

  private mutating func take(_ part: Part, _ result: Int32) throws(StartError) {
    guard result < 0 else { return }
    let refusal = Refusal(part: part, errno: -result)
    guard mode != .required else {
      throw StartError("confinement: required, but \(refusal); or set confinement: auto to go without")
    }
    refusals.append(refusal)
  }

  /// Says once what holds and what doesn't.
  public func report(to log: Log) {
    guard mode != .off else {
      log.info("not confined: confinement is off")
      return
    }
    for refusal in refusals { log.warning("not confined in this respect: \(refusal)") }
    let held = Part.allCases.filter { part in !refusals.contains { $0.part == part } }
    log.info("confined: " + held.map(summary(of:)).joined(separator: ", "))
  }

  private func summary(of part: Part) -> String {
    switch part {
    case .privileges, .memory: part.rawValue
    case .capabilities: keptCapabilities == 0 ? "no capabilities" : "no capability but net_bind_service"
    case .files: "files by Landlock"
    case .systemCalls: "\(SystemCallFilter.dataPlane.count) system calls"
    }
  }

  /// What a new configuration would need and no longer gets, a line each.
  func violations(by new: Configuration) -> [String] {
    let isHeld = mode != .off && !refusals.contains { $0.part == .files }
    return isHeld ? files.violations(by: new) : []
  }

  // MARK: For `validate`

  /// What `run` would give up here, a line each, and what the kernel would refuse. Changes nothing.
  public func forecast() -> (lines: [String], refusals: [Refusal]) {
    guard mode != .off else { return ([], []) }
    var lines = [Part.privileges.rawValue, Part.memory.rawValue]
    var refusals: [Refusal] = []
    let purpose = privilegedBind.map { " for \($0)" } ?? ""
    lines.append(summary(of: .capabilities) + (keptCapabilities == 0 ? "" : purpose))
    let landlock = sidecar_landlock_version()
    if landlock < 0 {
      refusals.append(Refusal(part: .files, errno: -landlock))
    } else {
      lines.append("files by Landlock \(landlock): reads below \(files.readable.joined(separator: ", "))")
      lines.append("  and writes \(files.writableText)")
    }
    let filters = sidecar_check_filters()
    if filters < 0 {
      refusals.append(Refusal(part: .systemCalls, errno: -filters))
    } else {
      lines.append("\(summary(of: .systemCalls)), without new programs, processes or rings")
    }
    return (lines, refusals)
  }
}
