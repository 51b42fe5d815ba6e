// Somebody who has taken over a thread of the sidecar: makes it call the kernel with arguments of the intruder's choice,
// through ptrace(2), and tells what the kernel answered. What a confined process can still do is asked of the production
// binary this way, without a hook in it.

import CTestSupport
import Glibc

#if arch(x86_64)
  /// One thread of a process, to make calls from.
  package struct Intruder {
    package enum Argument {
      case number(Int)
      /// A text in the thread's memory.
      case text(String)
    }

    package let thread: pid_t

    package init(thread: pid_t) { self.thread = thread }

    /// All threads of a process; each of them waits for something, most of the time.
    package static func threads(of process: ChildProcess) throws -> [Intruder] {
      try Files.list("/proc/\(process.pid)/task").compactMap { pid_t($0) }.map(Intruder.init)
    }

    /// Makes the thread call the kernel, and lets it go on with what it was doing.
    /// - Returns: what the kernel returned: -errno for a refusal.
    package func call(_ number: Int, _ arguments: [Argument]) throws -> Int {
      // Now and then it computes: it is looked at again.
      try awaitValue("thread \(thread) waits in a system call") { try callIfWaiting(number, arguments) }
    }

    /// - Returns: nil if the thread is not in a system call.
    private func callIfWaiting(_ number: Int, _ arguments: [Argument]) throws -> Int? {
      try control(Self.attach)
      defer { testsupport_ptrace(Self.detach, thread, 0, 0) }
      try awaitStop()
      let saved = try registers()
      // The instruction of two bytes before the present one.
      let instruction = saved[Self.rip] - 2
      guard testsupport_ptrace(Self.peek, thread, UInt(instruction), 0) & 0xffff == 0x050f else { return nil }
      var changed = saved
      // Below the stack and the 128 bytes under it that a function may use (System V ABI, "red zone").
      var free = UInt(saved[Self.rsp]) - 4_096
      for (register, argument) in zip(Self.argumentRegisters, arguments) {
        switch argument {
        case .number(let number): changed[register] = UInt64(bitPattern: Int64(number))
        case .text(let text):
          changed[register] = UInt64(free)
          free = try write(text, at: free)
        }
      }
      changed[Self.rax] = UInt64(number)
      // Not the end of the call that was interrupted, which the kernel would repeat.
      changed[Self.originalRax] = .max
      changed[Self.rip] = instruction
      try setRegisters(changed)
      try control(Self.singleStep)
      try awaitStop()
      let result = try registers()[Self.rax]
      // With these, the kernel repeats the call that was interrupted.
      try setRegisters(saved)
      return Int(Int64(bitPattern: result))
    }

    private func awaitStop() throws {
      var status: Int32 = 0
      let anyThread: Int32 = 0x4000_0000
      guard waitpid(thread, &status, anyThread) == thread, status & 0xff == 0x7f else {
        throw SystemCallError("waitpid for thread \(thread) (status \(status))")
      }
    }

    private func write(_ text: String, at address: UInt) throws -> UInt {
      var bytes = Array(text.utf8) + [0]
      while bytes.count % 8 != 0 { bytes.append(0) }
      for offset in stride(from: 0, to: bytes.count, by: 8) {
        let word = bytes[offset..<offset + 8].reversed().reduce(UInt(0)) { $0 << 8 | UInt($1) }
        try control(Self.poke, address + UInt(offset), word)
      }
      return address + UInt(bytes.count)
    }

    private func registers() throws -> [UInt64] {
      var words = [UInt64](repeating: 0, count: Self.registerCount)
      try words.withUnsafeMutableBytes { try control(Self.getRegisters, 0, UInt(bitPattern: $0.baseAddress)) }
      return words
    }

    private func setRegisters(_ words: [UInt64]) throws {
      try words.withUnsafeBytes { try control(Self.setRegisters, 0, UInt(bitPattern: $0.baseAddress)) }
    }

    private func control(_ request: Int32, _ address: UInt = 0, _ data: UInt = 0) throws {
      guard testsupport_ptrace(request, thread, address, data) >= 0 else { throw SystemCallError("ptrace \(request)") }
    }

    // Requests of sys/ptrace.h.
    private static let peek: Int32 = 1
    private static let poke: Int32 = 4
    private static let singleStep: Int32 = 9
    private static let getRegisters: Int32 = 12
    private static let setRegisters: Int32 = 13
    private static let attach: Int32 = 16
    private static let detach: Int32 = 17

    // Indexes into struct user_regs_struct of sys/user.h.
    private static let registerCount = 27
    private static let rax = 10
    private static let originalRax = 15
    private static let rip = 16
    private static let rsp = 19
    /// rdi, rsi, rdx, r10, r8, r9: syscall(2).
    private static let argumentRegisters = [14, 13, 12, 7, 9, 8]
  }
#endif
