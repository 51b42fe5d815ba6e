// What goes wrong in a simulation, and how often. Swarm testing (Groce and others, 2012): each seed switches some faults
// off and weighs the rest, since a run in which everything fails a little never gets anything into an unusual state.

extension SimulatedWorld {
  /// A promise that the world breaks, to see whether the checkers notice. No proxy could make up for it.
  public enum Sabotage: CaseIterable, Sendable {
    /// A byte of a receive is changed.
    case byteChanged
    /// A send that took bytes says that it took one more.
    case sendOverstated
    /// A connection's FIN is reported before its last bytes.
    case bytesLostBeforeEnd
    /// A final completion never comes.
    case completionLost
  }
}

/// Probabilities of the faults of one simulation; zero switches one off.
public struct FaultPlan: Sendable {
  /// A receive takes fewer bytes than wait.
  public var shortReceive = 0.0
  /// A send takes fewer bytes than there is room for; one that should send all ends early.
  public var shortSend = 0.0
  /// An immediate send is refused although there is room.
  public var sendRefused = 0.0
  /// A receive finds no buffer although there are some.
  public var noBuffers = 0.0
  /// A stream's end takes a provided buffer along, as some kernels do.
  public var bufferWithEnd = 0.0
  /// The hint that a socket holds more is wrong.
  public var hintLies = 0.0
  /// A multishot accept ends with a connection.
  public var multishotEnds = 0.0
  /// A client gives up while it waits to be accepted.
  public var acceptAborted = 0.0
  /// A poll completes although nothing is ready.
  public var spuriousPoll = 0.0
  /// A cancelled operation is faster than its cancellation.
  public var cancelLoses = 0.0
  /// A cancelled operation takes its time to complete.
  public var cancelSlow = 0.0
  /// An operation that could complete waits for a later turn.
  public var operationSlow = 0.0
  /// A completion is reported in a later turn than it happened.
  public var completionHeld = 0.0
  /// A submission is carried out at once: the submission queue was full.
  public var submittedEarly = 0.0
  /// Bytes, FINs and resets arrive later than they were sent, and in pieces.
  public var networkSlow = 0.0
  /// No descriptor is left, for accepting, for a socket and for a pipe.
  public var acceptExhausted = 0.0
  public var socketExhausted = 0.0
  public var pipeExhausted = 0.0
  /// A pipe is smaller than was asked for.
  public var pipeShrunk = 0.0
  /// A socket can't be spliced.
  public var spliceInvalid = 0.0
  /// A splice moves fewer bytes than it could; into a pipe that is not empty, none.
  public var shortSplice = 0.0
  /// An interrupted receive or send.
  public var interrupted = 0.0
  /// The clock leaps ahead between two turns, by up to `clockJumpMax` nanoseconds.
  public var clockJump = 0.0
  public var clockJumpMax: UInt64 = 0

  public init() {}

  /// A world without faults.
  public static let none = FaultPlan()

  /// The plan of a seed: each fault is off in half of the seeds, and else anything from rare to frequent.
  public static func swarm(_ random: inout SeededGenerator) -> FaultPlan {
    var plan = FaultPlan()
    for fault in [
      \FaultPlan.shortReceive, \.shortSend, \.sendRefused, \.noBuffers, \.bufferWithEnd, \.hintLies, \.multishotEnds,
      \.acceptAborted, \.spuriousPoll, \.cancelLoses, \.cancelSlow, \.operationSlow, \.completionHeld,
      \.submittedEarly, \.networkSlow, \.acceptExhausted, \.socketExhausted, \.pipeExhausted, \.pipeShrunk,
      \.spliceInvalid, \.shortSplice, \.interrupted, \.clockJump,
    ] {
      plan[keyPath: fault] = random.chance(0.5) ? 0 : random.pick([0.005, 0.02, 0.1, 0.3])
    }
    plan.clockJump /= 20
    plan.clockJumpMax = UInt64(random.magnitude(1_000_000...60_000_000_000))
    return plan
  }
}
