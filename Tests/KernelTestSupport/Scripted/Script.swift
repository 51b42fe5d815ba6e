// What a test and its `ScriptedKernel` share: the calls that are expected, those that came, the operations in flight,
// and the rules of `Kernel` that are the caller's duty and that every call is held to.

public import IOUring

/// One turn's expectations after another. Used by one thread.
public final class Script {
  /// Names of descriptors in what is printed.
  public var names: [Descriptor: String] = [:]
  /// The virtual clock; the kernel shows it from its next look at it on.
  public var clock: UInt64
  /// Nanoseconds that go by before each look at the clock within a turn. Unless said otherwise they are so many that
  /// whatever is bounded by time has had its share after a single step.
  public var computingTime: UInt64 = 400_000
  /// What TLS seals is random: when set, sends are compared without their bytes, which are kept in `lastSent` instead.
  public var ignoresSentBytes = false
  /// The bytes of each socket's last send.
  public private(set) var lastSent: [Descriptor: [UInt8]] = [:]
  /// The deadline of the last `wait`.
  public private(set) var deadline: UInt64 = 0

  private var expected: [Step] = []
  private var matched = 0
  private var calls: [Call] = []
  private var brokenRules: [String] = []
  private var events: [Event] = []
  private var inFlight: [Pending: (token: Token, destination: UnsafeMutableRawBufferPointer?)] = [:]
  private var buffersTaken: Set<UInt16> = []
  private let buffers: UnsafeMutableRawBufferPointer
  let bufferSize: Int
  let bufferCount: Int
  private(set) var now: UInt64

  public init(bufferSize: Int = 16, bufferCount: Int = 4, clock: UInt64 = 1_000_000_000_000) {
    self.bufferSize = bufferSize
    self.bufferCount = bufferCount
    self.clock = clock
    now = clock
    buffers = .allocate(byteCount: bufferSize * bufferCount, alignment: 16)
  }

  deinit { buffers.deallocate() }

  // MARK: The test's side

  /// Begins a turn: the completions that the next `wait` brings, and what the worker is expected to do from now on.
  public func begin(completing events: [Event], expecting steps: [Step]) {
    self.events = events
    expected = steps
    matched = 0
    calls = []
    brokenRules = []
  }

  /// Ends the turn.
  /// - Returns: nil when everything was as expected; otherwise the difference, to be read by a person.
  public func end() -> String? {
    guard calls != expected.map(\.call) || !brokenRules.isEmpty || !events.isEmpty else { return nil }
    return describeDifference()
  }

  /// The token of an operation in flight.
  public func token(of operation: Pending) -> Token? { inFlight[operation]?.token }

  /// What the kernel still has in hand, to be read by a person.
  public var operationsInFlight: [String] { inFlight.keys.map(CallPrinter(names: names).text).sorted() }

  /// Provided buffers that were handed out and have not come back.
  public var buffersOut: [UInt16] { buffersTaken.sorted() }

  // MARK: The kernel's side

  func waited(until deadline: UInt64) {
    self.deadline = deadline
    now = clock
  }

  func readClock() {
    clock += computingTime
    now = clock
  }

  /// Records a call that acts at once.
  /// - Returns: the scripted answer; `.nothing` where the script expected something else.
  func perform(_ call: Call) -> Step.Answer {
    calls.append(call)
    checkRules(call)
    // After the first difference the script's answers no longer belong to the calls.
    guard calls.count == matched + 1, matched < expected.count, expected[matched].call == call else { return .nothing }
    matched += 1
    return expected[matched - 1].answer
  }

  /// Records a submission.
  func submit(_ call: Call, token: Token, destination: UnsafeMutableRawBufferPointer? = nil) {
    if case .submitSend(let socket, let bytes, let mode) = call {
      lastSent[socket] = bytes
      _ = perform(ignoresSentBytes ? .submitSend(socket, bytes: [], mode: mode) : call)
    } else {
      _ = perform(call)
    }
    guard let operation = Pending(call) else { return }
    if inFlight.updateValue((token, destination), forKey: operation) != nil {
      brokenRules.append("\(CallPrinter(names: names).text(operation)) is submitted while it is in flight")
    }
  }

  func operation(named token: Token) -> Pending? { inFlight.first { $0.value.token == token }?.key }

  func nextCompletion() -> Completion? {
    guard !events.isEmpty else { return nil }
    let event = events.removeFirst()
    var flags = event.flags
    if let buffer = event.buffer {
      buffersTaken.insert(buffer.rawValue)
      flags.insert(Completion.Flags(rawValue: Completion.Flags.buffer.rawValue | UInt32(buffer.rawValue) << 16))
    }
    switch event.target {
    case .token(let token):
      return Completion(token: token, result: event.result, flags: flags)
    case .pending(let operation):
      guard let (token, destination) = inFlight[operation] else {
        brokenRules.append("the test completes \(CallPrinter(names: names).text(operation)), which is not in flight")
        return nextCompletion()
      }
      let memory = event.buffer.map(memory) ?? destination
      if !event.bytes.isEmpty { memory?.copyBytes(from: event.bytes) }
      if !flags.contains(.more) { inFlight[operation] = nil }
      return Completion(token: token, result: event.result, flags: flags)
    }
  }

  func memory(of buffer: BufferID) -> UnsafeMutableRawBufferPointer {
    let start = Int(buffer.rawValue) * bufferSize
    return UnsafeMutableRawBufferPointer(rebasing: buffers[start..<start + bufferSize])
  }

  // MARK: The caller's duties

  private func checkRules(_ call: Call) {
    let printer = CallPrinter(names: names)
    switch call {
    case .close(let descriptor):
      for operation in inFlight.keys where operation.descriptor == descriptor {
        brokenRules.append("\(printer.name(descriptor)) is closed while \(printer.text(operation)) is in flight")
      }
    case .recycle(let buffer):
      if buffersTaken.remove(buffer.rawValue) == nil {
        brokenRules.append("buffer \(buffer.rawValue) is recycled, but the kernel has it")
      } else {
        // Whoever still reads from it shall see that.
        memory(of: buffer).initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "?"))
      }
    default:
      break
    }
  }

  private func describeDifference() -> String {
    let printer = CallPrinter(names: names)
    let wanted = expected.map { printer.text($0.call) }
    let seen = calls.map { printer.text($0) }
    var lines = ["The worker did something else (- expected, + happened):"] + Self.difference(wanted, seen)
    lines += brokenRules.map { "  ! \($0)" }
    if !events.isEmpty { lines.append("  ! \(events.count) completions were not taken") }
    return lines.joined(separator: "\n")
  }

  /// Both lists as one, in the manner of diff(1).
  private static func difference(_ wanted: [String], _ seen: [String]) -> [String] {
    var missing: [Int] = []
    var surplus: [Int] = []
    for change in wanted.difference(from: seen) {
      switch change {
      case .insert(let offset, _, _): missing.append(offset)
      case .remove(let offset, _, _): surplus.append(offset)
      }
    }
    var lines: [String] = []
    var (next, position) = (0, 0)
    while next < wanted.count || position < seen.count {
      if position < seen.count, surplus.contains(position) {
        lines.append("  + \(seen[position])")
        position += 1
      } else if next < wanted.count, missing.contains(next) {
        lines.append("  - \(wanted[next])")
        next += 1
      } else {
        lines.append("    \(wanted[next])")
        next += 1
        position += 1
      }
    }
    return lines
  }
}
