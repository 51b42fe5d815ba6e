// Goal: the access record tells of a connection what happened to it, with the kernel's times. Method: a scripted
// kernel whose clock the test sets.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct AccessRecordContentTests {
  @Test("Times, addresses, bytes and reason of a regular connection")
  func regular() throws {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "127.0.0.1:8080"))
    let begin = bench.script.clock
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "127.0.0.1:8080"))
    bench.advance(
      milliseconds(2), [.connected(.server)],
      expecting: [.receive(.client, expectsData: true), .receive(.server, expectsData: false)])
    bench.advance(
      milliseconds(3), [.received("request", from: .client, buffer: 0)],
      expecting: [.send(.server, "request"), .receive(.client, expectsData: false)])
    bench.turn([.sent(7, to: .server)], expecting: [.recycle(0)])
    bench.advance(
      milliseconds(5), [.received("reply", from: .server, buffer: 1)],
      expecting: [.send(.client, "reply"), .receive(.server, expectsData: false)])
    bench.turn([.sent(5, to: .client)], expecting: [.recycle(1)])
    bench.turn([.ended(.client)], expecting: [.shutdown(.server)])
    bench.advance(milliseconds(7), [.ended(.server)], expecting: WorkerBench.ending())

    let record = try #require(bench.accessLog.pop())
    #expect(record.listener == WorkerBench.listenerID)
    #expect(record.reason == .downstreamClosed)
    #expect(record.errno == 0)
    #expect(record.downstream?.description == WorkerBench.clientAddress)
    #expect(record.upstream.description == "127.0.0.1:8080")
    #expect(record.acceptedAt == begin)
    #expect(record.connectedAt == begin + milliseconds(2))
    #expect(record.firstByteAt == begin + milliseconds(10))
    #expect(record.closedAt == begin + milliseconds(17))
    #expect(record.receivedBytes == 7)
    #expect(record.sentBytes == 5)
    #expect(bench.accessLog.pop() == nil)
  }

  @Test("A connection that never reached the upstream")
  func refused() throws {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "127.0.0.1:8080"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "127.0.0.1:8080"))
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [.close(.server), .resetOnClose(.client), .close(.client)])
    let record = try #require(bench.accessLog.pop())
    #expect(record.reason == .connectRefused)
    #expect(record.errno == ECONNREFUSED)
    #expect(record.connectedAt == 0)
    #expect(record.firstByteAt == 0)
    #expect(record.upstream.description == "127.0.0.1:8080")
  }

  @Test("A log thread that sleeps is woken once")
  func wakes() {
    let bench = WorkerBench()
    bench.relay()
    #expect(bench.accessLog.prepareToSleep())
    bench.turn(
      [.failed(.receive(.client), ECONNRESET)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server)),
      ])
    bench.turn(
      [.failed(.receive(.server), ECANCELED)],
      expecting: [.close(.client), .close(.server), .notify(.log)])
  }
}
