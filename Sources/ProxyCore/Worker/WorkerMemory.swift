// How much a worker reserves: address space for every connection that there can be, of which next to nothing is ever touched.

import Glibc
public import IOUring

/// The sizes of a worker's pools, and whether this process may reserve them.
public enum WorkerMemory {
  /// Bytes of one bulk receive: copying 16 KiB at a time costs more than any other proxy does.
  static let bulkReceiveSize = 262_144
  /// What sealing adds to a receive, and the part of an earlier record that is opened with it, rounded up to pages.
  private static let sealingRoom = 4_096

  /// A record is opened only where all of it fits.
  static func chunkSize(receiveBufferSize: Int) -> Int { max(receiveBufferSize + sealingRoom, PartialRecord.size) }
  /// Two in each direction.
  static let chunksPerConnection = 4
  static let bulkBufferSize = bulkReceiveSize + sealingRoom
  /// TLS opens and seals from one into another.
  static let bulkBuffersPerConnection = 3

  /// Tries what so many workers are going to reserve, and gives it back.
  /// - Throws: that the limit on address space or the kernel's accounting refuses it, with the mend.
  public static func check(workers: Int, slots: Int) throws(RingError) {
    let bytes = workers * slots * bytesPerSlot
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      throw RingError(operation: "mmap of \(bytes >> 30) GiB", errno: errno)
    }
    munmap(memory, bytes)
  }

  private static var bytesPerSlot: Int {
    MemoryLayout<Connection>.stride + chunkSize(receiveBufferSize: RingOptions().receiveBufferSize)
      * chunksPerConnection + bulkBufferSize * bulkBuffersPerConnection + PartialRecord.size
  }
}
