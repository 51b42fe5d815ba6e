// What can be measured, and the C functions through which the benchmarks reach it (interface/MicroSubjects.h).

internal import CAllocationCounter
internal import CMicroSubjects

/// A piece of the product that can be run over and over.
class Subject {
  /// Entries into the kernel so far, where the subject counts them.
  var systemCalls: Int { 0 }

  init() throws {}

  func run(times: Int64) { fatalError("a subject says what it runs") }

  static func make(_ kind: micro_subject) throws -> Subject? {
    switch kind {
    case micro_ring: try RingSubject()
    case micro_relay: try RelaySubject()
    case micro_tls_small: try RecordSubject(recordBytes: 64)
    case micro_tls_large: try RecordSubject(recordBytes: 16_384)
    case micro_handshake_full: try HandshakeSubject(isResumed: false)
    case micro_handshake_resumed: try HandshakeSubject(isResumed: true)
    case micro_histogram: try HistogramSubject()
    case micro_exposition: try ExpositionSubject(series: 10_000)
    default: nil
    }
  }
}

@c(micro_open) func openSubject(_ kind: micro_subject) -> UnsafeMutableRawPointer? {
  precondition(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
  guard let made = try? Subject.make(kind) else { return nil }
  made.run(times: 1)
  return Unmanaged.passRetained(made).toOpaque()
}

@c(micro_run) func runSubject(_ subject: UnsafeMutableRawPointer, _ times: Int64) -> micro_costs {
  let subject = Unmanaged<Subject>.fromOpaque(subject).takeUnretainedValue()
  let callsBefore = subject.systemCalls
  let before = allocation_counter_read()
  subject.run(times: times)
  let after = allocation_counter_read()
  return micro_costs(
    allocations: after.allocations - before.allocations, retains: after.retains - before.retains,
    releases: after.releases - before.releases, system_calls: UInt64(subject.systemCalls - callsBefore))
}

@c(micro_close) func closeSubject(_ subject: UnsafeMutableRawPointer) {
  Unmanaged<Subject>.fromOpaque(subject).release()
}
