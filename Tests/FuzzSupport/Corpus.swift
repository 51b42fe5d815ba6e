// The inputs that are kept in the repository: `Tests/Corpora/<target>/`, one file each. `make fuzz-corpora` keeps them few
// and small; what a fuzzer has found to be wrong stays under a name that says what it was.

import Glibc

/// One file of a corpus.
public struct CorpusInput: Sendable, CustomStringConvertible {
  let path: String
  public let bytes: [UInt8]

  /// Its path in the repository: what a failing test names.
  public var description: String { path }
}

extension FuzzTarget {
  private static let repository = #filePath.components(dropping: 3)

  var corpusDirectory: String { "\(Self.repository)/Tests/Corpora/\(name)" }

  /// All inputs, in the order of their names.
  public var corpus: [CorpusInput] {
    guard let directory = opendir(corpusDirectory) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted().map { name in
      CorpusInput(path: "Tests/Corpora/\(self.name)/\(name)", bytes: Self.read("\(corpusDirectory)/\(name)"))
    }
  }

  private static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }
}

extension String {
  /// The path without its last components.
  fileprivate func components(dropping count: Int) -> String {
    split(separator: "/", omittingEmptySubsequences: false).dropLast(count).joined(separator: "/")
  }
}
