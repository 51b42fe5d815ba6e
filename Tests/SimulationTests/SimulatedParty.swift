// The clients and servers of a simulation. Each has a temperament of its own: how much it says, how fast it listens, and
// how it ends. All of them note what they saw, for `Checkers.swift`.

import Glibc
import KernelTestSupport

/// One end of a conversation through the proxy.
final class SimulatedParty: SimulatedActor {
  /// How a party behaves.
  struct Temperament {
    enum Ending {
      /// Half-closes when all is said.
      case whenSent
      /// Half-closes when the other side has.
      case afterPeer
      /// Resets after having sent so many bytes, or received so many.
      case resetAfterSending(Int)
      case resetAfterReceiving(Int)
      /// Half-closes when all is said, and resets later, having received so many bytes.
      case resetAfterFinishing(receiving: Int)
      /// With TLS: ends without close_notify when all is said, as an attacker could have it.
      case truncate
      /// Says and hears everything, and never ends.
      case never
    }

    var bytesToSend: Int
    var chunkMax: Int
    var readMax: Int
    /// Sleeps so long after each read; 0: never.
    var readPause: UInt64
    /// Chance to sleep before a write, and for how long.
    var writePauseChance: Double
    var writePause: UInt64
    /// With TLS: chance to change keys after a write.
    var keyUpdateChance = 0.0
    var ending: Ending
  }

  enum End: Equatable {
    case none
    /// The other side's FIN.
    case fin
    case reset
  }

  let name: String
  let stream: SimulatedStream
  let wire: any Wire
  let credentials: SimulatedMesh.Credentials
  /// Nobody speaks to it in its own language: what it hears means nothing, and is only counted.
  private(set) var isForeign: Bool
  /// It may turn out to be foreign: TLS that is not for it may reach it.
  private let mayHearTLS: Bool
  private(set) var firstByteHeard: UInt8?
  private(set) var temperament: Temperament
  private var random: SeededGenerator
  private unowned let world: SimulatedWorld
  private let saying: Pattern
  private let hearing: Pattern
  private var pausesReadingUntil: UInt64 = 0
  private var pausesWritingUntil: UInt64 = 0

  private(set) var sent = 0
  private(set) var received = 0
  private(set) var seen = End.none
  /// Has half-closed, its bytes said.
  private(set) var hasFinished = false
  /// Has reset, or was reset.
  private(set) var hasReset = false
  /// Has ended its TLS stream without close_notify: a reset in effect, of which the proxy hears behind all bytes.
  private(set) var hasCut = false
  /// With TLS: heard an end that didn't say that the stream was complete.
  private(set) var heardCut = false
  private(set) var isGone = false
  private(set) var corruption: String?

  init(
    name: String, stream: SimulatedStream, wire: any Wire, credentials: SimulatedMesh.Credentials = .none,
    isForeign: Bool = false, mayHearTLS: Bool = false, temperament: Temperament, saying: Pattern, hearing: Pattern,
    random: SeededGenerator, world: SimulatedWorld
  ) {
    self.name = name
    self.stream = stream
    self.wire = wire
    self.credentials = credentials
    self.isForeign = isForeign
    self.mayHearTLS = mayHearTLS
    self.temperament = temperament
    self.saying = saying
    self.hearing = hearing
    self.random = random
    self.world = world
    stream.actor = self
    world.add(self)
  }

  /// From now on it hears everything at once, says what is left, and ends.
  func calmDown() {
    temperament.readMax = 1 << 20
    temperament.readPause = 0
    temperament.writePauseChance = 0
    pausesReadingUntil = 0
    pausesWritingUntil = 0
    temperament.ending = .whenSent
  }

  func act() -> UInt64 {
    guard !isGone else { return .max }
    wire.carryOn()
    let heard = listen()
    guard !isGone else { return .max }
    let said = speak()
    guard !isGone else { return .max }
    end()
    // A reset behind a FIN: nothing is read any more that would tell of it. What was seen of the stream stays a FIN.
    if !isGone, seen == .fin, stream.resetArrived { leave() }
    if isGone { return .max }
    if heard || said { return world.clock }
    var wake = UInt64.max
    if pausesReadingUntil > world.clock { wake = min(wake, pausesReadingUntil) }
    if pausesWritingUntil > world.clock { wake = min(wake, pausesWritingUntil) }
    return wake
  }

  // MARK: Hearing and saying

  private func listen() -> Bool {
    guard seen == .none, world.clock >= pausesReadingUntil else { return false }
    let room = min(temperament.readMax, 65_536)
    let count = withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { buffer in
      let count = wire.read(into: buffer)
      if count > 0 { hear(UnsafeRawBufferPointer(rebasing: buffer.prefix(count))) }
      return count
    }
    switch count {
    case -Int(EAGAIN): return false
    case 0: seen = .fin
    case ..<0: wasReset()
    default:
      received += count
      if temperament.readPause > 0 { pausesReadingUntil = world.clock + temperament.readPause }
      if case .resetAfterReceiving(let limit) = temperament.ending, received >= limit { reset() }
    }
    return true
  }

  private func hear(_ bytes: UnsafeRawBufferPointer) {
    firstByteHeard = firstByteHeard ?? bytes.first
    if received == 0, mayHearTLS, bytes.first == Self.tlsHandshake { isForeign = true }
    guard !isForeign, !hearing.matches(bytes, at: received) else { return }
    world.tracer?("\(name) hears something else at \(received)")
    corruption = corruption ?? "\(name) heard something else at \(received)..<\(received + bytes.count)"
  }

  /// The content type of a hello's record (RFC 8446 section 5.1).
  static let tlsHandshake: UInt8 = 22

  private func speak() -> Bool {
    guard sent < temperament.bytesToSend, !hasFinished, world.clock >= pausesWritingUntil else { return false }
    if random.chance(temperament.writePauseChance) {
      pausesWritingUntil = world.clock + temperament.writePause
      return false
    }
    let size = min(1 + random.below(temperament.chunkMax), temperament.bytesToSend - sent)
    let count = saying.withBytes(at: sent, count: size) { wire.write($0) }
    if count == -Int(EAGAIN) { return false }
    guard count >= 0 else {
      wasReset()
      return false
    }
    sent += count
    // Between bytes only: many changes in a row are an attack.
    if random.chance(temperament.keyUpdateChance) { wire.updateKeys(askingPeer: random.chance(0.5)) }
    if case .resetAfterSending(let limit) = temperament.ending, sent >= limit { reset() }
    return true
  }

  // MARK: Ending

  private func end() {
    if !hasFinished, sent == temperament.bytesToSend, mayFinish {
      if case .truncate = temperament.ending, !isPlain { return cut() }
      guard wire.finish() == 0 else {
        wasReset()
        return
      }
      hasFinished = true
      world.tracer?("\(name) half-closes after sending \(sent)")
    }
    if hasFinished, case .resetAfterFinishing(let limit) = temperament.ending, received >= limit { reset() }
    if hasFinished, seen == .fin, !isGone, wire.isFlushed { leave() }
  }

  private var isPlain: Bool { credentials == .none }

  private var mayFinish: Bool {
    guard wire.isProved else { return false }
    return switch temperament.ending {
    case .whenSent, .resetAfterFinishing, .truncate: true
    case .afterPeer: seen == .fin
    // A reset that is due when nothing more will come.
    case .resetAfterSending, .resetAfterReceiving: seen == .fin
    case .never: false
    }
  }

  private func reset() {
    world.tracer?("\(name) resets after sending \(sent) and receiving \(received)")
    hasReset = true
    // A Unix socket knows no reset: its other side sees a regular end.
    if stream.isUnix { hasFinished = true }
    stream.resetsOnClose = true
    leave()
  }

  /// Ends the stream without saying that it is complete.
  private func cut() {
    world.tracer?("\(name) cuts its stream after sending \(sent)")
    hasReset = true
    hasCut = true
    leave()
  }

  private func wasReset() {
    world.tracer?("\(name) was reset")
    seen = .reset
    heardCut = wire.heardCut
    // It is this end that gives up where TLS has failed, or was cut.
    if !isPlain, !stream.resetArrived {
      hasReset = true
      stream.resetsOnClose = true
    }
    leave()
  }

  private func leave() {
    isGone = true
    stream.close()
  }
}
