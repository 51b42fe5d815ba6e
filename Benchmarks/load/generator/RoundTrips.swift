// `sidecar-load pingpong` and `sidecar-load rate`: messages to the origin and back. The first is a closed loop, which
// measures what a round trip costs; the second keeps a fixed rate, which measures how long one takes.

import ArgumentParser

struct PingPong: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pingpong", abstract: "Closed loop: each connection sends its next message when the reply is there.")

  @OptionGroup var window: WindowOptions

  @Option(help: "Connections, each with one message under way.")
  var connections = 64

  @Option(help: "Bytes of a message.")
  var bytes = 64

  func run() throws {
    var clients = try EchoClients.open(connections, messageBytes: bytes, to: window.to)
    var latency = Latency()
    var sentAt = [UInt64](repeating: monotonicNanoseconds(), count: connections)
    var window = Window(self.window)
    for slot in 0..<connections { clients.send(slot) }
    while try window.goesOn() {
      clients.wait(until: window.deadline)
      while let event = clients.next() {
        guard try clients.handle(event) else { continue }
        let now = monotonicNanoseconds()
        if window.isMeasuring { latency.record(from: sentAt[event.slot], to: now) }
        window.add()
        sentAt[event.slot] = now
        clients.send(event.slot)
      }
    }
    try clients.settle()
    var line = try window.report("round trips")
    line.add("latencyNanoseconds", raw: latency.json)
    line.print()
  }
}

struct Rate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Open loop: messages leave at a fixed rate, whether replies come or not.",
    discussion: """
      Latency counts from the moment that a message was due, so that a proxy which stops for a while is charged for \
      every message that had to wait (no coordinated omission).
      """)

  @OptionGroup var window: WindowOptions

  @Option(help: "Connections, which take turns.")
  var connections = 64

  @Option(help: "Bytes of a message.")
  var bytes = 64

  @Option(help: "Messages per second, all connections together.")
  var rate = 4_000

  func run() throws {
    try useExactTimers()
    var clients = try EchoClients.open(connections, messageBytes: bytes, to: window.to)
    var latency = Latency()
    /// Per connection: the message that it sends next, and whether one is under way.
    var nextMessage = Array(0..<connections)
    var isBusy = [Bool](repeating: false, count: connections)
    let begin = monotonicNanoseconds()
    let interval = 1e9 / Double(rate)
    let due = { (message: Int) in begin + UInt64(Double(message) * interval) }
    /// Messages that were due so far.
    var dueCount = 0
    var window = Window(self.window, readsMemoryAtEnd: false)

    /// Takes note of a reply, and sends what came due on its connection meanwhile.
    func handle(_ event: SocketEvent) throws {
      guard try clients.handle(event) else { return }
      let slot = event.slot
      let wasDue = due(nextMessage[slot])
      if window.covers(wasDue) { latency.record(from: wasDue, to: monotonicNanoseconds()) }
      window.add()
      nextMessage[slot] += connections
      isBusy[slot] = nextMessage[slot] < dueCount
      if isBusy[slot] { clients.send(slot) }
    }

    func sendDue(before moment: UInt64) {
      while due(dueCount) < moment {
        let slot = dueCount % connections
        // A busy connection sends it when its reply is there.
        if !isBusy[slot] {
          isBusy[slot] = true
          clients.send(slot)
        }
        dueCount += 1
      }
    }

    while try window.goesOn() {
      clients.wait(until: min(window.deadline, due(dueCount)))
      while let event = clients.next() { try handle(event) }
      sendDue(before: monotonicNanoseconds() + 1)
    }
    // What comes due within the window counts, however late its reply is: without it the tail would be cut.
    sendDue(before: window.deadline)
    let deadline = monotonicNanoseconds() + 10_000_000_000
    while clients.underWay > 0 {
      clients.wait(until: deadline)
      while let event = clients.next() { try handle(event) }
      guard clients.underWay == 0 || monotonicNanoseconds() < deadline else {
        throw LoadError("messages are still late 10 s after the last: lost, or their rate is too high")
      }
    }
    var line = try window.report("round trips")
    line.add("latencyNanoseconds", raw: latency.json)
    line.add("rate", rate)
    line.print()
  }
}
