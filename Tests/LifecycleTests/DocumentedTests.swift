// Goal: the pages that say which test holds what name tests that are there.
// Method: every `Suite/function` in a page is looked for in the sources of the tests.

import Foundation
import Testing

@Suite("Documented tests")
struct DocumentedTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// The names of all functions below Tests, by the type that they are in or extend.
  private static func functions() throws -> Set<String> {
    var names: Set<String> = []
    let files = FileManager.default.enumerator(at: root.appending(path: "Tests"), includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
      guard file.pathExtension == "swift" else { continue }
      var type = ""
      for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
        if let match = line.firstMatch(of: /^(?:@Suite.*? )?(?:final )?(?:struct|class|extension) (\w+)/) {
          type = String(match.1)
        }
        if let match = line.firstMatch(of: /func (\w+)\(/) { names.insert("\(type)/\(match.1)") }
      }
    }
    return names
  }

  @Test("Every test that a page names is there", arguments: ["threat-model.md", "testing.md"])
  func names(page: String) throws {
    let functions = try Self.functions()
    let text = try String(contentsOf: Self.root.appending(path: "docs/\(page)"), encoding: .utf8)
    let named = text.matches(of: /`([A-Z]\w*Tests)\/([a-z]\w*)`/).map { "\($0.1)/\($0.2)" }
    #expect(!named.isEmpty)
    for name in Set(named).sorted() where !functions.contains(name) { Issue.record("\(page) names \(name)") }
  }
}
