// Goal: our own record layer protects records as RFC 8446 says, and refuses everything that it forbids.
// Method: the example keys of RFC 8448; layers that are given secrets of the test's own, one of them in the hands of a peer
// that seals what it likes; and libssl as the other end.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct RecordProtectionTests {
  // RFC 8448 section 3, "Simple 1-RTT Handshake".
  private static let clientSecret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
  private static let sealedRecord = """
    1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014\
    bd1e3deae63aeebb21694915e4
    """

  @Test("The published example: the client's first record of fifty bytes")
  func publishedExample() throws {
    let layers = Layers(client: Self.clientSecret)
    let bytes = (0..<50).map { UInt8($0) }
    #expect(layers.client.seal(bytes) == hex(Self.sealedRecord))
    #expect(layers.server.open(hex(Self.sealedRecord)) == .opened(bytes))
  }

  @Test("Records of every size, cut anywhere", arguments: [0x1301, 0x1302, 0x1303] as [UInt16])
  func sizes(suite: UInt16) {
    let layers = Layers(suite: suite)
    for size in [1, 2, 15, 16, 17, 255, 256, 16_383, 16_384] {
      let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: size), count: size)
      let record = layers.client.seal(bytes)
      #expect(record.count == size + RecordFormat.overhead)
      for cut in [0, 1, 4, 5, 6, record.count - 1] {
        // The same record under the same number again: the opening end forgets that it has seen it.
        #expect(layers.server.open(Array(record[..<cut])) == .opened([]))
        #expect(layers.server.open(Array(record[cut...])) == .opened(bytes), "\(size) bytes cut at \(cut)")
        layers.server.layer.pointee.opening.sequence -= 1
      }
      layers.server.layer.pointee.opening.sequence += 1
    }
  }

  @Test("A record byte by byte, and several in one piece")
  func pieces() {
    let layers = Layers()
    let records = layers.client.seal(Array("one".utf8)) + layers.client.seal(Array("two".utf8))
    var opened: [UInt8] = []
    for byte in records { if case .opened(let bytes) = layers.server.open([byte]) { opened += bytes } }
    #expect(opened == Array("onetwo".utf8))
    let more = layers.client.seal(Array("three".utf8)) + layers.client.seal(Array("four".utf8))
    #expect(layers.server.open(more) == .opened(Array("threefour".utf8)))
  }

  @Test("Padding is taken off, all of it")
  func padding() {
    let layers = Layers()
    let record = layers.client.seal(raw: Array("padded".utf8) + [23] + [UInt8](repeating: 0, count: 300))
    #expect(layers.server.open(record) == .opened(Array("padded".utf8)))
  }

  @Test("A changed bit anywhere in a record is found")
  func changedBits() {
    let layers = Layers()
    let record = layers.client.seal(Array("payload".utf8))
    for index in record.indices where index > 4 {
      var changed = record
      changed[index] ^= 0x10
      #expect(layers.server.open(changed) == .failed(.badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC))
    }
    #expect(layers.server.open(record) == .opened(Array("payload".utf8)))
  }

  @Test("Headers that no record may have")
  func headers() {
    let layers = Layers()
    let rest = [UInt8](repeating: 0, count: 40)
    for type in [0, 20, 21, 22, 24, 71, 255] as [UInt8] {
      let outcome = layers.server.open([type, 3, 3, 0, 40] + rest)
      #expect(outcome == .failed(.unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE), "type \(type)")
    }
    #expect(layers.server.open([23, 3, 1, 0, 40] + rest) == .failed(.notTLS, alert: SSL_AD_DECODE_ERROR))
    #expect(layers.server.open(Array("GET / HTTP/1.1".utf8)) == .failed(.notTLS, alert: SSL_AD_PROTOCOL_VERSION))
    #expect(layers.server.open([23, 3, 3, 0x41, 1] + rest) == .failed(.recordTooLarge, alert: SSL_AD_RECORD_OVERFLOW))
    #expect(
      layers.server.open([23, 3, 3, 0xff, 0xff] + rest) == .failed(.recordTooLarge, alert: SSL_AD_RECORD_OVERFLOW))
    for size in [0, 1, 15, 16] as [UInt8] {
      #expect(layers.server.open([23, 3, 3, 0, size] + rest) == .failed(.badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC))
    }
  }

  @Test("Contents that no record may have")
  func contents() {
    let unexpected = Opening.failed(.unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE)
    let decode = Opening.failed(.malformedMessage, alert: SSL_AD_DECODE_ERROR)
    let rows: [(content: [UInt8], expected: Opening, why: String)] = [
      ([0], unexpected, "no type at all"),
      ([UInt8](repeating: 0, count: 200), unexpected, "nothing but padding"),
      ([1, 20], unexpected, "change_cipher_spec inside a record"),
      ([1, 2, 3, 24], unexpected, "an unknown type"),
      ([22], unexpected, "an empty handshake record"),
      ([21], unexpected, "an empty alert"),
      ([2, 21], decode, "half an alert"),
      ([1, 0, 1, 0, 21], decode, "two alerts in one record"),
      (
        [UInt8](repeating: 1, count: 16_385) + [23], .failed(.recordTooLarge, alert: SSL_AD_RECORD_OVERFLOW), "2^14 + 1"
      ),
      (
        [23] + [UInt8](repeating: 0, count: 16_385), .failed(.recordTooLarge, alert: SSL_AD_RECORD_OVERFLOW),
        "a byte of padding too many"
      ),
      ([1, 0, 0, 0, 22], unexpected, "a second ClientHello"),
      ([4, 0, 0, 1, 0, 22], unexpected, "a ticket from a client"),
      ([13, 0, 0, 1, 0, 22], unexpected, "a request for a certificate"),
      ([20, 0, 0, 1, 0, 22], unexpected, "Finished again"),
      (
        [24, 0, 0, 1, 2, 22], .failed(.malformedMessage, alert: SSL_AD_ILLEGAL_PARAMETER),
        "a key update of no known kind"
      ),
      ([24, 0, 0, 0, 22], decode, "an empty key update"),
      ([24, 0, 0, 2, 0, 0, 22], decode, "a long key update"),
      ([24, 0, 0, 1, 0, 24, 22], unexpected, "something behind a key update"),
    ]
    for row in rows {
      let layers = Layers()
      #expect(layers.server.open(layers.client.seal(raw: row.content)) == row.expected, "\(row.why)")
    }
  }

  @Test("A key update in pieces counts; data in between does not pass")
  func splitKeyUpdate() {
    let layers = Layers()
    for piece in [[24, 0], [0], [1, 0]] as [[UInt8]] {
      #expect(layers.server.open(layers.client.seal(raw: piece + [22])) == .opened([]))
    }
    layers.client.update()
    #expect(layers.server.open(layers.client.seal(Array("next key".utf8))) == .opened(Array("next key".utf8)))

    #expect(layers.server.open(layers.client.seal(raw: [24, 0, 22])) == .opened([]))
    #expect(
      layers.server.open(layers.client.seal(Array("between".utf8)))
        == .failed(.unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE))
  }

  @Test("A requested key update is answered once, in front of the next data, however often it was asked for")
  func answeredKeyUpdate() {
    let layers = Layers()
    for _ in 0..<3 {
      #expect(layers.server.open(layers.client.seal(raw: [24, 0, 0, 1, 1, 22])) == .opened([]))
      layers.client.update()
    }
    let answer = layers.server.seal(Array("answer".utf8))
    #expect(answer.count == 5 + 6 + 2 * RecordFormat.overhead)
    #expect(layers.client.open(answer) == .opened(Array("answer".utf8)))
    #expect(layers.server.seal(Array("more".utf8)).count == 4 + RecordFormat.overhead)
  }

  @Test("Tickets are ignored by a client, whole, in pieces, several in one record")
  func tickets() {
    let layers = Layers()
    let ticket: [UInt8] = [4, 0, 0, 20] + [UInt8](repeating: 9, count: 20)
    #expect(layers.client.open(layers.server.seal(raw: ticket + ticket + [22])) == .opened([]))
    #expect(layers.client.open(layers.server.seal(raw: Array(ticket[..<7]) + [22])) == .opened([]))
    #expect(layers.client.open(layers.server.seal(raw: Array(ticket[7...]) + [22])) == .opened([]))
    #expect(layers.client.open(layers.server.seal(Array("data".utf8))) == .opened(Array("data".utf8)))
  }

  @Test("A peer that sends only records without data is stopped; with data now and then it may go on")
  func barrenRecords() {
    let empty: [[UInt8]] = [[23], [24, 0, 0, 1, 0, 22], [1, 90, 21]]
    for content in empty {
      let layers = Layers()
      let isUpdate = content[0] == 24
      for round in 0..<200 {
        let expected: Opening = .opened(round % 20 == 19 ? [7] : [])
        let record = round % 20 == 19 ? layers.client.seal([7]) : layers.client.seal(raw: content)
        #expect(layers.server.open(record) == expected)
        if isUpdate, round % 20 != 19 { layers.client.update() }
      }
      var outcome = Opening.opened([])
      for _ in 0...RecordLayer.barrenRecordsMax {
        outcome = layers.server.open(layers.client.seal(raw: content))
        if isUpdate { layers.client.update() }
      }
      #expect(outcome == .failed(.unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE))
    }
  }

  @Test("Alerts: close_notify ends, user_canceled doesn't, every other one is fatal whatever its level")
  func alerts() {
    #expect(Layers().client.open(closing: .server) == .closed)
    for description in 1...255 as ClosedRange<UInt8> where description != 90 {
      let layers = Layers()
      let outcome = layers.server.open(layers.client.seal(raw: [1, description, 21]))
      #expect(outcome == .failed(TLSFailure.forAlert(Int32(description)), alert: nil), "alert \(description)")
    }
    let layers = Layers()
    #expect(layers.server.open(layers.client.seal(raw: [1, 90, 21]) + layers.client.seal([1])) == .opened([1]))
  }

  @Test("What comes behind close_notify is not read")
  func afterCloseNotify() {
    let layers = Layers()
    let records = layers.client.seal(raw: [1, 0, 21]) + layers.client.seal([1])
    #expect(layers.server.open(records) == .closed)
  }

  @Test("A record waits for room; nothing of it is lost")
  func room() {
    let layers = Layers()
    let record = layers.client.seal([UInt8](repeating: 3, count: 1_000))
    #expect(layers.server.open(record, room: 1_000) == .needsRoom)
    #expect(layers.server.open(record, room: 1_001) == .opened([UInt8](repeating: 3, count: 1_000)))
    // The same with a record whose end came later.
    let next = layers.client.seal([UInt8](repeating: 4, count: 1_000))
    #expect(layers.server.open(Array(next[..<50]), room: 10) == .opened([]))
    #expect(layers.server.open(Array(next[50...]), room: 1_000) == .needsRoom)
    #expect(layers.server.open([], room: 1_001) == .opened([UInt8](repeating: 4, count: 1_000)))
    #expect(layers.server.partialsInUse == 0)
  }

  @Test("Random bytes and random changes never trap", arguments: 0..<50)
  func noise(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let layers = Layers()
    for _ in 0..<40 {
      var bytes = generator.bytes(Int.random(in: 0...200, using: &generator))
      if Bool.random(using: &generator) {
        bytes = layers.client.seal(raw: bytes + [UInt8.random(in: 20...24, using: &generator)])
      } else if !bytes.isEmpty, Bool.random(using: &generator) {
        bytes[0] = 23
      }
      if case .failed = layers.server.open(bytes) { return }
    }
  }
}
