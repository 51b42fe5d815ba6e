// Goal: the filter says what its list says, for each call and argument, and the file rules follow from the configuration.
// Method: an interpreter for the few BPF instructions that are used, over the assembled program; rules made from
// configurations. What the kernel makes of both is seen from outside (LoopbackTests/ConfinementTests).

import CLinux
import Glibc
import Testing

@testable import ProxyCore

@Suite("System-call filter")
struct SystemCallFilterTests {
  private static let architecture = UInt32(bitPattern: Int32(truncatingIfNeeded: SIDECAR_AUDIT_ARCHITECTURE))
  private static let allowed = UInt32(SECCOMP_RET_ALLOW)

  private static func refused(_ errno: Int32) -> UInt32 { UInt32(SECCOMP_RET_ERRNO) | UInt32(errno) }

  /// Runs a program over struct seccomp_data. Fails on an instruction that a filter has no use for.
  private static func run(
    _ program: [sock_filter], _ number: Int32, _ arguments: [UInt64] = [], architecture: UInt32 = architecture
  ) throws -> UInt32 {
    var words = [UInt32](repeating: 0, count: 16)
    words[0] = UInt32(bitPattern: number)
    words[1] = architecture
    for (index, argument) in arguments.enumerated() {
      words[4 + 2 * index] = UInt32(truncatingIfNeeded: argument)
      words[5 + 2 * index] = UInt32(argument >> 32)
    }
    var accumulator: UInt32 = 0
    var next = 0
    while true {
      // Leaving the program at its end is what the kernel refuses to load.
      let instruction = try #require(program.indices.contains(next) ? program[next] : nil)
      next += 1
      switch Int32(instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS: accumulator = words[Int(instruction.k / 4)]
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= instruction.k
      case BPF_JMP | BPF_JEQ | BPF_K: next += Int(accumulator == instruction.k ? instruction.jt : instruction.jf)
      case BPF_JMP | BPF_JGE | BPF_K: next += Int(accumulator >= instruction.k ? instruction.jt : instruction.jf)
      case BPF_RET | BPF_K: return instruction.k
      default: Issue.record("instruction \(instruction.code)")
      }
    }
  }

  @Test("A listed call is allowed, any other doesn't exist")
  func list() throws {
    var filter = SystemCallFilter()
    filter.allow(1, 5, 300)
    let program = filter.assemble()
    for number in 0...500 as ClosedRange<Int32> {
      let expected = [1, 5, 300].contains(number) ? Self.allowed : Self.refused(ENOSYS)
      #expect(try Self.run(program, number) == expected, "call \(number)")
    }
  }

  @Test("Arguments: all tests of one alternative, and EPERM without one")
  func arguments() throws {
    var filter = SystemCallFilter()
    filter.allow(7, when: [[.argument(0, is: 3)], [.argument(1, mask: 0xf0, is: 0x20), .argument(5, is: 9)]])
    filter.allow(8, when: [SystemCallFilter.Test.isNull(2)])
    let program = filter.assemble()
    let cases: [(Int32, [UInt64], UInt32)] = [
      (7, [3, 0, 0, 0, 0, 0], Self.allowed), (7, [4, 0x2f, 0, 0, 0, 9], Self.allowed),
      (7, [4, 0x2f, 0, 0, 0, 8], Self.refused(EPERM)), (7, [4, 0x1f, 0, 0, 0, 9], Self.refused(EPERM)),
      (7, [0, 0, 0, 0, 0, 0], Self.refused(EPERM)), (8, [1, 1, 0], Self.allowed),
      (8, [1, 1, 1], Self.refused(EPERM)), (8, [1, 1, 1 << 32], Self.refused(EPERM)),
    ]
    for (number, arguments, expected) in cases {
      #expect(try Self.run(program, number, arguments) == expected, "call \(number) with \(arguments)")
    }
  }

  @Test("Another architecture's calls, and x32's, end the process")
  func architectures() throws {
    let program = SystemCallFilter.dataPlane.assemble()
    let killed = UInt32(SECCOMP_RET_KILL_PROCESS)
    #expect(try Self.run(program, SYS_read) == Self.allowed)
    // AUDIT_ARCH_I386, where 11 is execve.
    #expect(try Self.run(program, 11, architecture: 0x4000_0003) == killed)
    #expect(try Self.run(program, 0x4000_0000 | SYS_read) == killed)
  }

  @Test("The data plane's list: no call twice, as many as the kernel's program takes")
  func dataPlane() {
    let filter = SystemCallFilter.dataPlane
    #expect(Set(filter.rules.map(\.number)).count == filter.count)
    // BPF_MAXINSNS.
    #expect(filter.assemble().count <= 4_096)
    for number in [SYS_execve, SYS_execveat, SYS_ptrace, SYS_io_uring_setup, SYS_clone3, SYS_mount, SYS_bpf] {
      #expect(!filter.rules.contains { $0.number == number })
    }
  }
}

@Suite("File rules")
struct FileRulesTests {
  private static func rules(_ accessLog: Configuration.AccessLog, identity: String? = nil) -> FileRules {
    FileRules(configuration(accessLog, identity: identity), configurationPath: "/config/sidecar.yaml")
  }

  private static func configuration(
    _ accessLog: Configuration.AccessLog, identity: String? = nil
  ) -> Configuration {
    let identity = identity.map {
      Configuration.Identity(certificate: "\($0)/tls.crt", privateKey: "\($0)/tls.key", trustBundle: "\($0)/ca.crt")
    }
    return Configuration(identity: identity, accessLog: accessLog)
  }

  @Test("What is read: the system's files, and the directories of configuration and identity, once each")
  func readable() {
    let readable = Self.rules(.init(), identity: "/var/run/sidecar").readable
    #expect(readable.contains("/etc"))
    #expect(readable.contains("/config"))
    #expect(readable.filter { $0 == "/var/run/sidecar" }.count == 1)
    #expect(!readable.contains("/"))
  }

  @Test("What is written: the access log's directory, a device itself, or nothing")
  func writable() {
    #expect(Self.rules(.init(path: "/var/log/sidecar/access.log")).logDirectory == "/var/log/sidecar")
    #expect(Self.rules(.init(path: "/dev/stdout")).logDirectory == nil)
    #expect(Self.rules(.init(path: "/dev/stdout")).logDevice == "/dev/stdout")
    #expect(Self.rules(.init(path: "/dev/shm/access.log")).logDirectory == "/dev/shm")
    let off = Self.rules(.init(path: "/var/log/sidecar/access.log", format: .off))
    #expect(off.writableText == "nowhere")
  }

  @Test("A reload stays within the rules, below them too, and is told where it doesn't")
  func violations() {
    let rules = Self.rules(.init(path: "/var/log/sidecar/access.log"), identity: "/var/run/sidecar")
    let within = Self.configuration(.init(path: "/var/log/sidecar/old/a.log"), identity: "/var/run/sidecar/next")
    #expect(rules.violations(by: within).isEmpty)
    let log = Configuration.AccessLog(path: "/var/log/sidecar2/access.log")
    #expect(rules.violations(by: Self.configuration(log, identity: "/var/run/sidecar")).count == 1)
    #expect(rules.violations(by: Self.configuration(log, identity: "/srv")).count == 4)
    #expect(Self.rules(.init()).violations(by: Self.configuration(.init(path: "/dev/stderr"))).count == 1)
  }

  @Test("Only a port below 1024 keeps a capability")
  func capabilities() throws {
    let listener = { (port: UInt16) in
      Configuration.Listener(
        name: "a", direction: .inbound, bind: SocketAddress(ip: IPAddress(v4: 0), port: port),
        target: .originalDestination)
    }
    let kept = { (port: UInt16) in
      Confinement(Configuration(listeners: [listener(port)]), configurationPath: nil).privilegedBind?.port
    }
    #expect(kept(443) == 443)
    #expect(kept(1_024) == nil)
    #expect(kept(0) == nil)
  }
}
