// Names of targets, resolved off the workers: getaddrinfo(3) blocks for as long as a name server pleases. The control
// thread starts it when some target is a name, and turns what it finds into `updateListener`.

import Glibc
import IOUring
import Synchronization

/// A thread that keeps the addresses of a set of names fresh.
final class Resolver: Sendable {
  /// What is known of a name. After a failure the last addresses stay in use: a name server's outage is no reason to
  /// stop reaching a host that hasn't moved.
  struct Resolution: Sendable, Equatable {
    var addresses: [SocketAddress] = []
    /// Why the last attempt failed; nil: it did not.
    var failure: String?
    var attempts = 0
  }

  typealias Lookup = @Sendable (HostPort) -> Result<[SocketAddress], LookupFailure>

  struct LookupFailure: Error { var reason: String }

  /// Between two successful resolutions: getaddrinfo doesn't tell the records' time to live, and clusters use 30 s.
  static let refreshNanoseconds: UInt64 = 30_000_000_000
  /// The first pause after a failure; each further one doubles it up to `refreshNanoseconds`.
  static let retryNanoseconds: UInt64 = 1_000_000_000

  private let state = Mutex(State())
  private let wake: Descriptor
  /// Notified whenever a name's resolution changed or was tried for the first time.
  private let changed: Descriptor
  private let lookup: Lookup

  private struct State {
    var names: [HostPort: Entry] = [:]
    var hasThread = false
    var isStopping = false
  }

  private struct Entry {
    var resolution = Resolution()
    var schedule = ResolverSchedule()
  }

  init(changed: Descriptor, lookup: @escaping Lookup = Resolver.lookUp) throws(KernelError) {
    wake = try EventDescriptor.make()
    self.changed = changed
    self.lookup = lookup
  }

  deinit { close(wake.rawValue) }

  /// Names to keep fresh from now on; others are forgotten. The thread starts with the first name.
  func watch(_ names: Set<HostPort>) {
    let startsThread = state.withLock { state in
      state.names = state.names.filter { names.contains($0.key) }
      for name in names where state.names[name] == nil { state.names[name] = Entry() }
      guard !names.isEmpty, !state.hasThread else { return false }
      state.hasThread = true
      return true
    }
    EventDescriptor.notify(wake)
    // Nobody waits for its end; see `stop`.
    if startsThread { PosixThread.start(name: "resolver") { self.run() }.detach() }
  }

  func resolution(of name: HostPort) -> Resolution? { state.withLock { $0.names[name]?.resolution } }

  /// Names that were never tried so far.
  var pending: [HostPort] { state.withLock { $0.names.filter { $0.value.resolution.attempts == 0 }.map(\.key) } }

  /// Ends the thread after the look-up that is under way. Doesn't wait for it: that may take many seconds.
  func stop() {
    state.withLock { $0.isStopping = true }
    EventDescriptor.notify(wake)
  }

  private func run() {
    while true {
      let now = Clocks.monotonicNanoseconds
      let next = state.withLock { state -> (isStopping: Bool, due: HostPort?, deadline: UInt64?) in
        let earliest = state.names.min { $0.value.schedule.dueAt < $1.value.schedule.dueAt }
        let isDue = earliest.map { $0.value.schedule.dueAt <= now } ?? false
        return (state.isStopping, isDue ? earliest?.key : nil, earliest?.value.schedule.dueAt)
      }
      if next.isStopping { return }
      guard let name = next.due else {
        var poll = pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0)
        _ = Glibc.poll(&poll, 1, Clocks.pollTimeout(until: next.deadline, now: now))
        EventDescriptor.acknowledge(wake)
        continue
      }
      store(lookup(name), of: name)
    }
  }

  private func store(_ result: Result<[SocketAddress], LookupFailure>, of name: HostPort) {
    state.withLock { state in
      // Nobody hears it after `stop`, and the descriptor may be somebody else's by then.
      guard !state.isStopping, var entry = state.names[name] else { return }
      let before = entry.resolution
      entry.resolution.attempts += 1
      switch result {
      case .success(let addresses):
        entry.resolution.addresses = addresses
        entry.resolution.failure = nil
      case .failure(let failure):
        entry.resolution.failure = failure.reason
      }
      entry.schedule.tried(succeeded: entry.resolution.failure == nil, now: Clocks.monotonicNanoseconds)
      state.names[name] = entry
      if before.attempts == 0 || before.addresses != entry.resolution.addresses
        || before.failure != entry.resolution.failure
      {
        EventDescriptor.notify(changed)
      }
    }
  }

  /// All addresses of a name in the order of RFC 6724, as getaddrinfo(3) sorts them.
  static func lookUp(_ name: HostPort) -> Result<[SocketAddress], LookupFailure> {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    let result = getaddrinfo(name.host, nil, &hints, &list)
    guard result == 0 else { return .failure(LookupFailure(reason: String(cString: gai_strerror(result)))) }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var entry = list
    while let current = entry?.pointee {
      entry = current.ai_next
      guard let pointer = current.ai_addr, Int(current.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else {
        continue
      }
      var storage = sockaddr_storage()
      withUnsafeMutableBytes(of: &storage) {
        $0.copyMemory(from: UnsafeRawBufferPointer(start: pointer, count: Int(current.ai_addrlen)))
      }
      guard let found = SocketAddress(storage: storage) else { continue }
      let address = SocketAddress(ip: found.ip, port: name.port)
      if !addresses.contains(address) { addresses.append(address) }
    }
    return addresses.isEmpty ? .failure(LookupFailure(reason: "the name has no address")) : .success(addresses)
  }
}

/// When to resolve one name again. Without I/O.
struct ResolverSchedule: Equatable {
  /// Monotonic nanoseconds; at once for a new name.
  private(set) var dueAt: UInt64 = 0
  private var pause = Resolver.retryNanoseconds

  mutating func tried(succeeded: Bool, now: UInt64) {
    if succeeded {
      pause = Resolver.retryNanoseconds
      dueAt = now + Resolver.refreshNanoseconds
    } else {
      dueAt = now + pause
      pause = min(pause * 2, Resolver.refreshNanoseconds)
    }
  }
}
