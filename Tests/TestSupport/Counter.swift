// A number that several threads count up.

import Synchronization

package final class Counter: Sendable {
  private let count = Atomic<Int>(0)

  package init() {}

  package var value: Int { count.load(ordering: .sequentiallyConsistent) }

  package func add(_ amount: Int = 1) { count.add(amount, ordering: .sequentiallyConsistent) }
}
