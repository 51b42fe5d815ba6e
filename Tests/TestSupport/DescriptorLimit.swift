// Tests that open connections by the thousand need as many descriptors of their own.

import Glibc

/// Raises this process's soft limit of open descriptors to the hard one, which children inherit.
/// - Parameter needed: how many there must be then.
package func raiseDescriptorLimit(toAtLeast needed: Int) throws {
  let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
  var limit = rlimit()
  guard getrlimit(resource, &limit) == 0 else { throw SystemCallError("getrlimit") }
  limit.rlim_cur = limit.rlim_max
  guard setrlimit(resource, &limit) == 0 else { throw SystemCallError("setrlimit") }
  guard limit.rlim_cur >= rlim_t(needed) else {
    throw HarnessError("\(needed) descriptors are needed, and the hard limit is \(limit.rlim_max)")
  }
}
