// The two clocks of the life cycle: one that never jumps, for deadlines, and the wall clock, for logs.

import Glibc

public enum Clocks {
  /// CLOCK_MONOTONIC in nanoseconds, the clock of the workers.
  public static var monotonicNanoseconds: UInt64 { read(CLOCK_MONOTONIC) }

  /// CLOCK_REALTIME in nanoseconds since 1970.
  public static var wallNanoseconds: UInt64 { read(CLOCK_REALTIME) }

  /// Unix seconds, as certificates count.
  public static var wallSeconds: Int64 { Int64(wallNanoseconds / 1_000_000_000) }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// A moment in Unix seconds on the monotonic clock, as far as the wall clock's present setting tells; `now` if it is
  /// past.
  static func monotonicNanoseconds(at wallSeconds: Int64, now: UInt64) -> UInt64 {
    let (wait, overflow) = wallSeconds.multipliedReportingOverflow(by: 1_000_000_000)
    let nanoseconds = overflow ? UInt64(Int64.max) : UInt64(max(0, wait))
    let present = wallNanoseconds
    return nanoseconds > present ? now &+ (nanoseconds - present) : now
  }

  /// The milliseconds that poll(2) waits for a monotonic deadline: rounded up, so that it never wakes too early, and
  /// -1 for none.
  static func pollTimeout(until deadline: UInt64?, now: UInt64) -> Int32 {
    guard let deadline else { return -1 }
    guard deadline > now else { return 0 }
    return Int32(min((deadline - now + 999_999) / 1_000_000, UInt64(Int32.max)))
  }
}

extension [UInt8] {
  /// Appends a time in UTC as RFC 3339 writes it, to the millisecond: `2026-11-24T01:38:46.120Z`.
  mutating func append(rfc3339 wallNanoseconds: UInt64) {
    let seconds = wallNanoseconds / 1_000_000_000
    let date = CivilDate(daysSince1970: Int(seconds / 86_400))
    let secondOfDay = Int(seconds % 86_400)
    append(date.year, digits: 4)
    append(UInt8(ascii: "-"))
    append(date.month, digits: 2)
    append(UInt8(ascii: "-"))
    append(date.day, digits: 2)
    append(UInt8(ascii: "T"))
    append(secondOfDay / 3_600, digits: 2)
    append(UInt8(ascii: ":"))
    append(secondOfDay / 60 % 60, digits: 2)
    append(UInt8(ascii: ":"))
    append(secondOfDay % 60, digits: 2)
    append(UInt8(ascii: "."))
    append(Int(wallNanoseconds / 1_000_000 % 1_000), digits: 3)
    append(UInt8(ascii: "Z"))
  }

  private mutating func append(_ number: Int, digits: Int) {
    var divisor = 1
    for _ in 1..<digits { divisor *= 10 }
    while divisor > 0 {
      append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
      divisor /= 10
    }
  }
}

/// A day of the proleptic Gregorian calendar.
private struct CivilDate {
  var year: Int
  var month: Int
  var day: Int

  /// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
  init(daysSince1970: Int) {
    let daysPerEra = 146_097
    let shifted = daysSince1970 + 719_468
    let era = shifted / daysPerEra
    let dayOfEra = shifted % daysPerEra
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    // March is 0; 153 days make five months in the pattern 31, 30, 31, 30, 31.
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }
}
