// What a conformance test does behind the back of the kernel under test: with the descriptors of the process, from
// another thread, or to the limits. On the host by system calls, in the simulation by its own means.

import Glibc
import IOUring
import KernelTestSupport
import Testing

extension World {
  /// Whether an accepted socket is non-blocking and close-on-exec.
  func isFitForAWorker(_ descriptor: Int32) -> Bool {
    guard network == nil else { return true }
    return fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0 && fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0
  }

  /// The algorithm that a socket sends by; nil in the simulation, which has none.
  func congestionControl(_ socket: Descriptor) -> String? {
    guard network == nil else { return nil }
    // TCP_CA_NAME_MAX, tcp(7).
    var name = [CChar](repeating: 0, count: 16)
    var length = UInt32(name.count)
    guard getsockopt(socket.rawValue, Int32(IPPROTO_TCP), TCP_CONGESTION, &name, &length) == 0 else { return "none" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Gives a socket a number that this test alone uses, so that the next round gets the same again.
  func renumber(_ socket: Descriptor) throws -> Descriptor {
    // In the simulation the lowest free number is always the next.
    guard network == nil else { return socket }
    let lowest: Int32 = kind == .ring ? 15_000 : 16_000
    let moved = fcntl(socket.rawValue, F_DUPFD_CLOEXEC, lowest)
    try #require(moved == lowest)
    close(socket)
    return Descriptor(rawValue: moved)
  }

  /// A number that no descriptor has.
  var unusedDescriptor: Descriptor { Descriptor(rawValue: network == nil ? 19_000 : SimulatedWorld.unusedDescriptor) }

  /// Reads from a socket without the kernel under test.
  func readBehind(_ socket: Descriptor, _ count: Int) -> [UInt8] {
    guard let network else { return HostPeer(descriptor: socket.rawValue).read(count) }
    return network.world.stream(socket).map { SimulatedPeer.read($0, count) } ?? []
  }

  /// Notifies an eventfd while the kernel under test waits for ever.
  func notifyMeanwhile(_ event: Descriptor) -> any BackgroundWork {
    guard let network else {
      return HostThread {
        EventDescriptor.notify(event)
        return []
      }
    }
    let notifier = Notifier(event)
    network.world.add(notifier)
    return notifier
  }

  /// Notifies once, when the world comes to it.
  private final class Notifier: SimulatedActor, BackgroundWork {
    private let event: Descriptor
    private var isDone = false

    init(_ event: Descriptor) { self.event = event }

    func act() -> UInt64 {
      if !isDone { EventDescriptor.notify(event) }
      isDone = true
      return .max
    }

    func result() -> [UInt8] { [] }
  }

  // MARK: The descriptor limit

  /// From now on `count` more descriptors can be opened; the limit is the process's, except in the simulation.
  func leaveDescriptors(_ count: Int) throws {
    if let world = network?.world {
      world.descriptorsMax = world.openDescriptorCount + count
      return
    }
    // The lowest free numbers; the test process may have opened others above a gap.
    let free = (0..<count).map { _ in dup(STDOUT_FILENO) }
    for descriptor in free { Glibc.close(descriptor) }
    try setDescriptorLimit(rlim_t(try #require(free.last)) + 1)
  }

  func leaveManyDescriptors() throws {
    if let world = network?.world { world.descriptorsMax = 10_000 } else { try setDescriptorLimit(1_000) }
  }

  private func setDescriptorLimit(_ limit: rlim_t) throws {
    var limits = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
    limits.rlim_cur = limit
    try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0)
  }
}
