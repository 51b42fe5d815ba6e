// Runs nft(8) for `init`: the only program that the product ever starts, and only there.

import CLinux
import Glibc

/// The nftables of the network namespace that this process is in.
enum NFTables {
  /// Why rules could not be loaded, in one line with the mend.
  struct Failure: Error {
    var line: String
  }

  /// Loads a script as one transaction: all of it or, with an error, none of it.
  static func load(_ script: String) throws(Failure) {
    try requireCapability()
    // Files in memory rather than pipes: neither side can block on the other, whatever nft has to say.
    let input = try memoryFile("rules")
    defer { close(input) }
    let errors = try memoryFile("errors")
    defer { close(errors) }
    try fill(input, with: script)
    let status = try run(["nft", "-f", "-"], input: input, errors: errors)
    guard status == 0 else { throw refusal(contents(of: errors)) }
  }

  /// CAP_NET_ADMIN, capability 12 of linux/capability.h.
  private static let netAdmin = UInt64(1) << 12

  /// Says what is missing before nft does: its own words differ from version to version, and none names the mend.
  private static func requireCapability() throws(Failure) {
    guard let effective = effectiveCapabilities(), effective & netAdmin == 0 else { return }
    throw missingCapability
  }

  private static let missingCapability = Failure(
    line: "init: no permission to change the pod's network rules: give this container the capability NET_ADMIN "
      + "(securityContext.capabilities.add) and run it as root; only the init container needs it")

  /// CapEff of /proc/self/status (proc_pid_status(5)); nil where /proc isn't there, and then nft will tell.
  private static func effectiveCapabilities() -> UInt64? {
    let file = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    let line = contents(of: file).split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    return line.flatMap { UInt64($0.dropFirst("CapEff:".count).drop { $0 == "\t" }, radix: 16) }
  }

  private static func refusal(_ words: String) -> Failure {
    // The first line says what; the others point into the script.
    let first = words.split(separator: "\n").first.map(String.init) ?? "no reason given"
    if words.contains("Operation not permitted") { return missingCapability }
    // ENOENT, EOPNOTSUPP and EPROTONOSUPPORT come of modules that a container can't load by itself.
    let lacksModule = ["No such file or directory", "not supported"].contains { words.contains($0) }
    let mend =
      lacksModule
      ? "; the kernel lacks a part of nftables: load nf_tables, nft_chain_nat and nft_redir on the node (modprobe)" : ""
    return Failure(line: "init: nft refused the rules: \(first)\(mend)")
  }

  // MARK: The program

  /// - Returns: the exit status.
  private static func run(_ arguments: [String], input: Int32, errors: Int32) throws(Failure) -> Int32 {
    // An image's PATH may leave out the directories of system programs.
    setenv("PATH", "\(getenv("PATH").map { String(cString: $0) } ?? ""):/usr/sbin:/sbin:/usr/bin:/bin", 1)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
    let argv = arguments.map { strdup($0) } + [nil]
    defer { for argument in argv { free(argument) } }
    var pid = pid_t()
    let result = posix_spawnp(&pid, arguments[0], &actions, nil, argv, sidecar_environment())
    guard result == 0 else {
      let reason = String(cString: strerror(result))
      throw Failure(
        line: "init: can't run nft: \(reason); install the package nftables, or use the image of sidecar-proxy, "
          + "which has it")
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    // WIFEXITED and WEXITSTATUS, which Swift can't import; wait(2).
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
  }

  // MARK: Files in memory

  private static func memoryFile(_ name: String) throws(Failure) -> Int32 {
    let descriptor = memfd_create("sidecar-proxy-\(name)", SIDECAR_MFD_CLOEXEC)
    guard descriptor >= 0 else {
      throw Failure(line: "init: can't make a file in memory: \(String(cString: strerror(errno)))")
    }
    return descriptor
  }

  /// Writes the text and goes back to the beginning, where the reader starts.
  private static func fill(_ descriptor: Int32, with text: String) throws(Failure) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else {
        throw Failure(line: "init: can't hand the rules to nft: \(String(cString: strerror(errno)))")
      }
      rest = rest.dropFirst(count)
    }
    lseek(descriptor, 0, SEEK_SET)
  }

  /// The beginning of a small file, as much as anybody would read.
  private static func contents(of descriptor: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let count = pread(descriptor, &buffer, buffer.count, 0)
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
  }
}
