// A directory that is updated as the kubelet updates a ConfigMap or Secret volume: all files at once, by moving one
// link (the AtomicWriter of kubernetes/pkg/volume/util).

import Glibc

package enum Volume {
  /// Writes the next version of the only file. The directory is made when it isn't there.
  package static func write(_ text: String, to name: String, in directory: String) throws {
    try write([name: Array(text.utf8)], in: directory)
  }

  /// Writes the next version of all files, by their names.
  package static func write(_ files: [String: [UInt8]], in directory: String) throws {
    mkdir(directory, 0o755)
    let before = try? Files.target(ofLink: "\(directory)/..data")
    let number = before.flatMap { Int($0.drop { $0 == "." }) } ?? 0
    let version = "..\(number + 1)"
    mkdir("\(directory)/\(version)", 0o755)
    for (name, bytes) in files { try Files.write(bytes, to: "\(directory)/\(version)/\(name)") }
    symlink(version, "\(directory)/..data_tmp")
    guard rename("\(directory)/..data_tmp", "\(directory)/..data") == 0 else { throw SystemCallError("rename") }
    for name in files.keys { symlink("..data/\(name)", "\(directory)/\(name)") }
    if let before {
      for name in files.keys { unlink("\(directory)/\(before)/\(name)") }
      rmdir("\(directory)/\(before)")
    }
  }
}
