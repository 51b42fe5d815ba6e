// Goal: the two things that threads share lose nothing: access records and connection permits. Method: threads that do
// as much as they can, and sums afterwards. Nothing here depends on timing: a lost wake-up ends in a thread that never
// comes back, which the deadline of the sleep turns into a failure.

import Glibc
import IOUring
import Synchronization
import Testing

@testable import ProxyCore

@Suite struct AccessRecordQueueTests {
  private static func record(_ number: UInt64) -> AccessRecord {
    AccessRecord(
      listener: ListenerID(rawValue: 0), reason: .downstreamClosed, errno: 0, encryption: .none, tlsFailure: nil,
      denial: nil, principal: nil, downstream: nil, upstream: .none, acceptedAt: number, connectedAt: 0,
      firstByteAt: 0, closedAt: 0, receivedBytes: 0, sentBytes: 0)
  }

  @Test("A full queue drops the newest, counts them, and goes on")
  func full() {
    let queue = AccessRecordQueue(wakeDescriptor: .none)
    for number in 0..<UInt64(AccessRecordQueue.capacity + 5) { _ = queue.push(Self.record(number)) }
    #expect(queue.droppedCount == 5)
    #expect(queue.pop()?.acceptedAt == 0)
    _ = queue.push(Self.record(9_999))
    var last: UInt64 = 0
    var count = 0
    while let record = queue.pop() {
      last = record.acceptedAt
      count += 1
    }
    #expect(count == AccessRecordQueue.capacity)
    #expect(last == 9_999)
    #expect(queue.pop() == nil)
  }

  @Test("A consumer that is about to sleep is told of a record that came meanwhile, and woken for later ones")
  func sleeping() {
    let queue = AccessRecordQueue(wakeDescriptor: .none)
    #expect(!queue.push(Self.record(1)), "nobody sleeps")
    #expect(!queue.prepareToSleep(), "a record waits")
    _ = queue.pop()
    #expect(queue.prepareToSleep())
    #expect(queue.push(Self.record(2)), "the consumer sleeps")
    #expect(!queue.push(Self.record(3)), "it has been woken")
  }

  @Test("Two threads: every record arrives in order or is counted as dropped, and no wake-up is lost")
  func stress() throws {
    let wake = try EventDescriptor.make()
    defer { close(wake.rawValue) }
    let queue = AccessRecordQueue(wakeDescriptor: wake)
    let total: UInt64 = 200_000
    let producer = Thread {
      for number in 1...total where queue.push(Self.record(number)) { EventDescriptor.notify(wake) }
    }
    var received: UInt64 = 0
    var previous: UInt64 = 0
    var wakeUpsLost = 0
    while received + queue.droppedCount < total {
      while let record = queue.pop() {
        #expect(record.acceptedAt > previous)
        previous = record.acceptedAt
        received += 1
      }
      guard received + queue.droppedCount < total, queue.prepareToSleep() else { continue }
      var entry = pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0)
      // Dropped records wake nobody: the last of them may be the producer's last.
      if poll(&entry, 1, 5_000) == 0, received + queue.droppedCount < total { wakeUpsLost += 1 }
      EventDescriptor.acknowledge(wake)
    }
    producer.join()
    #expect(wakeUpsLost == 0)
    #expect(received + queue.droppedCount == total)
  }
}

@Suite struct ConnectionBudgetTests {
  @Test("Permits up to the limit, and one back for each that ends")
  func limit() {
    let budget = ConnectionBudget(limit: 2, workerWakes: [])
    #expect(budget.reserve())
    #expect(budget.reserve())
    #expect(!budget.reserve())
    #expect(budget.usedCount == 2)
    budget.reserveBeyondLimit()
    #expect(budget.available == -1)
    budget.release()
    budget.release()
    #expect(budget.reserve())
    budget.setLimit(10)
    #expect(budget.available == 8)
  }

  @Test("Whoever waits is woken when a permit comes back; nobody is when nobody waits")
  func waking() throws {
    let wake = try EventDescriptor.make()
    defer { close(wake.rawValue) }
    let budget = ConnectionBudget(limit: 1, workerWakes: [wake])
    #expect(budget.reserve())
    budget.release()
    #expect(!Self.isReadable(wake))
    #expect(budget.reserve())
    budget.beginWaiting()
    budget.release()
    #expect(Self.isReadable(wake))
    EventDescriptor.acknowledge(wake)
    budget.endWaiting()
    budget.setLimit(5)
    #expect(Self.isReadable(wake), "a new limit is news to everybody")
  }

  @Test("Four threads never hold more than the limit, and all comes back")
  func stress() {
    let budget = ConnectionBudget(limit: 3, workerWakes: [])
    let holders = HolderCount()
    let threads = (0..<4).map { _ in
      Thread {
        for _ in 0..<50_000 where budget.reserve() {
          holders.enter()
          holders.leave()
          budget.release()
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(holders.most <= 3)
    #expect(budget.usedCount == 0)
  }

  private static func isReadable(_ descriptor: Descriptor) -> Bool {
    var entry = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) == 1
  }
}

/// How many threads hold a permit, and how many did at the most.
private final class HolderCount: Sendable {
  private let present = Atomic<Int>(0)
  private let highest = Atomic<Int>(0)

  func enter() {
    let now = present.add(1, ordering: .sequentiallyConsistent).newValue
    highest.max(now, ordering: .sequentiallyConsistent)
  }
  func leave() { present.subtract(1, ordering: .sequentiallyConsistent) }
  var most: Int { highest.load(ordering: .sequentiallyConsistent) }
}

/// A thread with a body, to be joined once.
private final class Thread {
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    let start = Unmanaged.passRetained(Start(body)).toOpaque()
    let result = pthread_create(
      &thread, nil,
      {
        Unmanaged<Start>.fromOpaque($0!).takeRetainedValue().body()
        return nil
      }, start)
    precondition(result == 0, "no thread: errno \(result)")
  }

  func join() { pthread_join(thread, nil) }

  private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
