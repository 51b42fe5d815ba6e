// Goal: chunks are distinct, reused, and given back to the kernel after a burst. Method: the pool alone; residency is
// asked of the kernel, mincore(2).

import Glibc
import Testing

@testable import ProxyCore

@Suite struct ChunkPoolTests {
  private static let chunkSize = 16_384

  @Test("Chunks don't overlap, and a freed one is the next to be taken")
  func reuse() throws {
    let pool = Pool(chunkSize: Self.chunkSize, capacity: 4)
    let chunks = (0..<4).compactMap { _ in pool.take() }
    try #require(chunks.count == 4)
    #expect(pool.take() == nil)
    #expect(pool.usedCount == 4)
    let addresses = chunks.map { UInt(bitPattern: $0) }.sorted()
    for (lower, upper) in zip(addresses, addresses.dropFirst()) { #expect(upper - lower >= UInt(Self.chunkSize)) }
    pool.giveBack(chunks[2])
    #expect(pool.take() == chunks[2])
    #expect(pool.usedCount == 4)
  }

  @Test("After a burst a few chunks stay warm, and the memory of the others goes back")
  func memoryGoesBack() {
    let pool = Pool(chunkSize: Self.chunkSize, capacity: 256)
    let chunks = (0..<256).compactMap { _ in pool.take() }
    for chunk in chunks { chunk.initializeMemory(as: UInt8.self, repeating: 1, count: Self.chunkSize) }
    #expect(Self.residentPages(chunks) == 256 * Self.chunkSize / 4_096)
    for chunk in chunks { pool.giveBack(chunk) }
    #expect(pool.usedCount == 0)
    #expect(pool.wantsTrim)
    pool.trim()
    #expect(Self.residentPages(chunks) == 256 * Self.chunkSize / 4_096, "they were in use a moment ago")
    pool.trim()
    #expect(Self.residentPages(chunks) == 8 * Self.chunkSize / 4_096)
    #expect(!pool.wantsTrim)
  }

  @Test("As many chunks as were needed since the last trim stay warm, and all can be used again")
  func needed() {
    let pool = Pool(chunkSize: Self.chunkSize, capacity: 64)
    var chunks = (0..<64).compactMap { _ in pool.take() }
    for chunk in chunks { chunk.initializeMemory(as: UInt8.self, repeating: 1, count: Self.chunkSize) }
    for chunk in chunks { pool.giveBack(chunk) }
    pool.trim()
    let busy = (0..<20).compactMap { _ in pool.take() }
    for chunk in busy { pool.giveBack(chunk) }
    pool.trim()
    #expect(Self.residentPages(chunks) == 20 * Self.chunkSize / 4_096)
    #expect(Self.residentPages(busy) == 20 * Self.chunkSize / 4_096, "those that were used are those that stay")
    chunks = (0..<64).compactMap { _ in pool.take() }
    for chunk in chunks { chunk.initializeMemory(as: UInt8.self, repeating: 1, count: Self.chunkSize) }
    for chunk in chunks { pool.giveBack(chunk) }
    pool.trim()
    pool.trim()
    #expect(Self.residentPages(chunks) == 8 * Self.chunkSize / 4_096)
  }

  @Test("Giving one chunk's memory back leaves its neighbours alone, whatever the size that was asked for")
  func neighbours() {
    let pool = Pool(chunkSize: 512 + 4_096, capacity: 64)
    let chunks = (0..<64).compactMap { _ in pool.take() }
    for chunk in chunks { chunk.initializeMemory(as: UInt8.self, repeating: 7, count: 512 + 4_096) }
    // Every other one: each that goes has neighbours that stay.
    for index in stride(from: 0, to: 64, by: 2) { pool.giveBack(chunks[index]) }
    pool.trim()
    pool.trim()
    for chunk in stride(from: 1, to: 64, by: 2).map({ chunks[$0] }) {
      let bytes = UnsafeRawBufferPointer(start: chunk, count: 512 + 4_096)
      #expect(bytes.allSatisfy { $0 == 7 })
    }
  }

  private static func residentPages(_ chunks: [UnsafeMutableRawPointer]) -> Int {
    var resident = 0
    for chunk in chunks {
      var pages = [UInt8](repeating: 0, count: chunkSize / 4_096)
      mincore(chunk, chunkSize, &pages)
      resident += pages.count { $0 & 1 == 1 }
    }
    return resident
  }
}

private final class Pool {
  private var pool: ChunkPool

  init(chunkSize: Int, capacity: Int) { pool = ChunkPool(chunkSize: chunkSize, capacity: capacity) }

  func take() -> UnsafeMutableRawPointer? { pool.take() }
  func giveBack(_ chunk: UnsafeMutableRawPointer) { pool.giveBack(chunk) }
  func trim() { pool.trim() }
  var usedCount: Int { pool.usedCount }
  var wantsTrim: Bool { pool.wantsTrim }
}
