// A seccomp filter as a list of what is allowed, and its translation to the kernel's classic BPF. seccomp(2), bpf(4).
// Written by hand because it is a page of code: libseccomp would be another library in every pod's memory.

import CLinux
import Glibc

/// The system calls that a process may make. What isn't listed doesn't exist for it (ENOSYS), so that a C library that
/// tries a newer call first goes on with the older one; a listed call with arguments that it isn't listed for is refused
/// (EPERM). A call by another architecture's numbers, which only an exploit would make, ends the process.
struct SystemCallFilter {
  /// A call, and the arguments that it may have: one of the alternatives must hold; with none, any will do.
  struct Rule: Equatable {
    var number: Int32
    var alternatives: [[Test]] = []
  }

  /// A comparison of a part of an argument.
  struct Test: Equatable {
    /// The 32-bit word of seccomp_data.
    var word: UInt32
    var mask: UInt32 = .max
    var value: UInt32

    /// An argument that the kernel takes as 32 bits, or whose flags are all in the lower half.
    static func argument(_ index: UInt32, mask: UInt32 = .max, is value: UInt32) -> Test {
      Test(word: argumentsOffset + 8 * index, mask: mask, value: value)
    }

    /// A pointer that is null.
    static func isNull(_ index: UInt32) -> [Test] {
      [.argument(index, is: 0), Test(word: argumentsOffset + 8 * index + 4, value: 0)]
    }

    /// struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]. Both architectures are
    /// little-endian.
    private static var argumentsOffset: UInt32 { 16 }
  }

  private(set) var rules: [Rule] = []

  var count: Int { rules.count }

  mutating func allow(_ numbers: Int32...) { rules += numbers.map { Rule(number: $0) } }

  /// Allows a call with arguments for which all tests of one alternative hold.
  mutating func allow(_ number: Int32, when alternatives: [[Test]]) {
    rules.append(Rule(number: number, alternatives: alternatives))
  }

  // MARK: Enforcement

  /// Puts the filter on all threads of the process.
  /// - Returns: 0 or -errno.
  func enter() -> Int32 {
    var result = Self.install(Self.hiding(SYS_clone3), log: false)
    if result == 0 {
      // The strictest answer of all filters counts, and the filter that gave it.
      var logged = self
      logged.allow(SYS_clone3)
      result = Self.install(logged.assemble(), log: true)
    }
    // A thread that has a filter of its own, which nobody here installs, can't take this one.
    return result > 0 ? -ESRCH : result
  }

  private static func install(_ program: [sock_filter], log: Bool) -> Int32 {
    sidecar_filter_system_calls(program, UInt16(program.count), log)
  }

  /// A filter that hides one call and allows all others. The C library asks for clone3(2) whenever a thread starts: not
  /// worth a record in the audit log, which is by filter.
  private static func hiding(_ number: Int32) -> [sock_filter] {
    [
      load(numberOffset), jump(BPF_JEQ, UInt32(bitPattern: number), ifNot: 1, if: 0), refused(ENOSYS), allowed,
    ]
  }

  // MARK: Translation

  func assemble() -> [sock_filter] {
    var program = [
      Self.load(Self.architectureOffset),
      Self.jump(BPF_JEQ, UInt32(bitPattern: Int32(truncatingIfNeeded: SIDECAR_AUDIT_ARCHITECTURE)), ifNot: 0, if: 1),
      Self.end(UInt32(SECCOMP_RET_KILL_PROCESS)),
      Self.load(Self.numberOffset),
      // Numbers from here on are of the x32 ABI on x86-64, and nothing on other architectures.
      Self.jump(BPF_JGE, 0x4000_0000, ifNot: 1, if: 0),
      Self.end(UInt32(SECCOMP_RET_KILL_PROCESS)),
    ]
    for rule in rules {
      let body =
        rule.alternatives.isEmpty ? [Self.allowed] : rule.alternatives.flatMap(Self.assemble) + [Self.refused(EPERM)]
      program.append(Self.jump(BPF_JEQ, UInt32(bitPattern: rule.number), ifNot: body.count, if: 0))
      program += body
    }
    return program + [Self.refused(ENOSYS)]
  }

  /// Allows the call if all tests hold, and goes on behind if one doesn't.
  private static func assemble(_ tests: [Test]) -> [sock_filter] {
    var instructions: [sock_filter] = []
    for (index, test) in tests.enumerated() {
      let rest = (tests.count - index - 1) * 3 + 1
      instructions += [
        load(test.word), statement(BPF_ALU | BPF_AND | BPF_K, test.mask),
        jump(BPF_JEQ, test.value, ifNot: rest, if: 0),
      ]
    }
    return instructions + [allowed]
  }

  private static let numberOffset: UInt32 = 0
  private static let architectureOffset: UInt32 = 4

  private static var allowed: sock_filter { end(UInt32(SECCOMP_RET_ALLOW)) }

  private static func refused(_ errno: Int32) -> sock_filter { end(UInt32(SECCOMP_RET_ERRNO) | UInt32(errno)) }

  private static func load(_ offset: UInt32) -> sock_filter { statement(BPF_LD | BPF_W | BPF_ABS, offset) }

  private static func end(_ result: UInt32) -> sock_filter { statement(BPF_RET | BPF_K, result) }

  private static func statement(_ code: Int32, _ operand: UInt32) -> sock_filter {
    sock_filter(code: UInt16(code), jt: 0, jf: 0, k: operand)
  }

  /// Skips so many instructions. The offsets are bytes, which the longest rule is far from.
  private static func jump(_ comparison: Int32, _ operand: UInt32, ifNot: Int, if: Int) -> sock_filter {
    sock_filter(code: UInt16(BPF_JMP | comparison | BPF_K), jt: UInt8(`if`), jf: UInt8(ifNot), k: operand)
  }
}
