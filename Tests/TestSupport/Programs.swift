// The real programs that some tests need. Whoever promises that they are installed (SIDECAR_TEST_TOOLS=required, as CI
// does) gets a failure in place of a skipped test.

import Glibc

package enum Programs {
  /// Debian keeps servers in sbin and PostgreSQL's in a directory of their own, which a user's PATH may lack.
  private static var searchPath: [String] {
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    let postgres = "/usr/lib/postgresql"
    let versions = ((try? Files.list(postgres)) ?? []).sorted().reversed().map { "\(postgres)/\($0)/bin" }
    return path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] + versions
  }

  /// Where a program is; nil: not installed.
  package static func find(_ name: String) -> String? {
    searchPath.lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  /// Where a program is.
  package static func path(_ name: String) throws -> String {
    guard let path = find(name) else { throw HarnessError("\(name) is not installed") }
    return path
  }

  /// Whether a test that needs these programs runs: when all are there, and when somebody promised them, so that the
  /// test fails where one is missing.
  package static func allow(_ names: String...) -> Bool { isRequired || names.allSatisfy { find($0) != nil } }

  /// The same for what only root may do.
  package static var allowsRoot: Bool { isRequired || geteuid() == 0 }

  private static var isRequired: Bool { getenv("SIDECAR_TEST_TOOLS").map { String(cString: $0) } == "required" }
}
