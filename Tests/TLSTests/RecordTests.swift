// Goal: the data phase holds its promises when records are bad, cut off, out of turn or badly timed.
// Method: pairs whose wire a test interferes with.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct RecordTests {
  private func connected() throws -> Pair {
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    pair.run()
    try #require(pair.client.isComplete && pair.server.isComplete)
    return pair
  }

  @Test func changedRecordIsRefusedAndThePeerIsTold() throws {
    let pair = try connected()
    pair.client.send(Array("secret".utf8))
    pair.client.outbox[12] ^= 1
    pair.run()
    #expect(pair.server.failure == .badRecordMAC)
    #expect(pair.server.plaintext.isEmpty)
    #expect(pair.client.failure == .peerAlert)
  }

  @Test func recordsBeforeABadOneAreDelivered() throws {
    let pair = try connected()
    pair.client.send(Array("first".utf8))
    pair.client.send(Array("second".utf8))
    pair.client.outbox[pair.client.outbox.count - 1] ^= 1
    pair.run()
    #expect(pair.server.plaintext == Array("first".utf8))
    #expect(pair.server.failure == .badRecordMAC)
  }

  @Test func replayedRecordIsRefused() throws {
    let pair = try connected()
    pair.client.send(Array("once".utf8))
    pair.client.outbox += pair.client.outbox
    pair.run()
    #expect(pair.server.plaintext == Array("once".utf8))
    #expect(pair.server.failure == .badRecordMAC)
  }

  @Test func overlongRecordIsRefused() throws {
    let pair = try connected()
    pair.client.outbox = [23, 3, 3, 0x42, 0] + [UInt8](repeating: 0, count: 0x4200)
    pair.run()
    #expect(pair.server.failure == .recordTooLarge)
  }

  @Test func plainTextAfterTheHandshakeIsRefused() throws {
    let pair = try connected()
    pair.client.outbox = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    pair.run()
    let failure = try #require(pair.server.failure)
    #expect([.notTLS, .plainHTTP, .malformedMessage, .unexpectedMessage].contains(failure))
    #expect(pair.server.plaintext.isEmpty)
  }

  @Test func secondClientHelloIsRefused() throws {
    let pair = try connected()
    let mesh = try Mesh()
    let other = Endpoint(mesh.client, .client)
    other.step()
    pair.client.outbox = other.outbox
    pair.run()
    // In the clear it is no record of this connection, whatever it says: there is nothing to renegotiate with.
    #expect(pair.server.failure != nil)
    #expect(pair.server.plaintext.isEmpty)
  }

  @Test func fatalAlertEndsTheSession() throws {
    let pair = try connected()
    // The client gets a bad record, and its alert comes to a server that is in the middle of its stream.
    pair.server.send([UInt8](repeating: 7, count: 50_000))
    pair.server.outbox[40_000] ^= 1
    pair.run()
    #expect(pair.client.failure == .badRecordMAC)
    #expect(pair.server.failure == .peerAlert)
    #expect(!pair.server.endOfInputIsClean)
  }

  @Test func truncationIsTold() throws {
    let pair = try connected()
    pair.client.send([UInt8](repeating: 1, count: 1000))
    let whole = pair.client.outbox
    pair.server.inbox = Array(whole.dropLast(3))
    pair.client.outbox = []
    pair.server.step()
    #expect(pair.server.plaintext.isEmpty)
    #expect(!pair.server.endOfInputIsClean)
    pair.server.inbox = Array(whole.suffix(3))
    pair.server.step()
    #expect(pair.server.plaintext.count == 1000)
    #expect(!pair.server.endOfInputIsClean, "no close_notify has come")
    pair.client.close()
    pair.run()
    #expect(pair.server.isClosed && pair.server.endOfInputIsClean)
  }

  @Test func closeNotifyClosesOneDirectionOnly() throws {
    let pair = try connected()
    pair.client.send(Array("last words".utf8))
    pair.client.close()
    pair.run()
    #expect(pair.server.plaintext == Array("last words".utf8))
    #expect(pair.server.isClosed)
    pair.server.send(Array("the answer".utf8))
    pair.server.close()
    pair.run()
    #expect(pair.client.plaintext == Array("the answer".utf8))
    #expect(pair.client.isClosed && pair.client.failure == nil && pair.server.failure == nil)
  }

  @Test func closeNotifyIsSentOnce() throws {
    let pair = try connected()
    pair.client.close()
    let count = pair.client.outbox.count
    #expect(count == 24)
    pair.client.close()
    #expect(pair.client.outbox.count == count)
  }

  @Test func keyUpdateThatFindsNoRoomWaits() throws {
    let pair = try connected()
    pair.client.session.updateKeys(askingPeer: true)
    pair.client.send(Array("under a new key".utf8))
    pair.server.inbox = pair.client.outbox
    pair.client.outbox = []
    // Nothing may be lost when the answer has no room. (libssl may also keep it back until there is data to send.)
    pair.server.step(outputRoom: 0)
    pair.server.step(outputRoom: 0)
    #expect(pair.server.failure == nil)
    #expect(pair.server.outbox.isEmpty)
    pair.run()
    #expect(pair.server.plaintext == Array("under a new key".utf8))
    pair.server.send(Array("and back".utf8))
    pair.run()
    #expect(pair.client.plaintext == Array("and back".utf8))
  }

  @Test func keysAreChangedBeforeTheyWearOut() throws {
    let pair = try connected()
    // Both ends of the direction count its records.
    pair.server.send(Array("the first data".utf8))
    pair.run()
    pair.client.session.records.pointee.sealing.sequence = TLSSession.recordsUnderKeyMax - 1
    pair.server.session.records.pointee.opening.sequence = TLSSession.recordsUnderKeyMax - 1
    let bytes = [UInt8](repeating: 5, count: 3 * TLSSession.recordPlaintextMax)
    pair.client.send(bytes)
    let sequence = pair.client.session.records.pointee.sealing.sequence
    #expect(sequence == 2, "the key was changed after the first record")
    // Three records, and a key update of five bytes in a record of its own.
    #expect(pair.client.outbox.count == bytes.count + 4 * TLSSession.recordOverhead + 5)
    pair.run()
    #expect(pair.server.plaintext == bytes)
  }

  @Test func sealedSizeIsAsPromised() throws {
    let pair = try connected()
    for size in [1, 100, 16_383, 16_384, 16_385, 100_000, 250_000] {
      pair.client.outbox = []
      let bytes = [UInt8](repeating: 9, count: size)
      pair.client.send(bytes, outputRoom: TLSSession.outputSize(for: size))
      let records = (size + TLSSession.recordPlaintextMax - 1) / TLSSession.recordPlaintextMax
      #expect(pair.client.outbox.count == size + records * TLSSession.recordOverhead)
      pair.run()
      #expect(pair.server.plaintext == bytes)
      pair.server.plaintext = []
    }
  }

  @Test func smallPlaintextWindowLosesNothing() throws {
    let pair = try connected()
    let bytes = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
    pair.client.send(bytes)
    pair.server.inbox = pair.client.outbox
    pair.client.outbox = []
    while pair.server.step(plaintextRoom: TLSSession.recordPlaintextMax + 1) {}
    #expect(pair.server.plaintext == bytes)
  }
}
