// The ring by itself: one operation that completes at once, from submission to completion.

internal import IOUring

final class RingSubject: Subject {
  private var ring: Ring
  private let event: Descriptor
  private var waits = 0

  override init() throws {
    ring = try Ring()
    try ring.enable()
    event = try EventDescriptor.make()
    try super.init()
    ring.notify(event)
  }

  deinit { ring.close(event) }

  override var systemCalls: Int { waits }

  override func run(times: Int64) {
    for _ in 0..<times {
      ring.submitPoll(event, for: .readable, token: Token(rawValue: 1))
      ring.wait(until: .max)
      waits += 1
      while ring.nextCompletion() != nil {}
    }
  }
}
