// What the epoll kernel knows about each descriptor and the operations that wait on it. Used by `Epoll` alone. Both
// tables live in reserved address space that becomes resident as descriptors are used, so that nothing here allocates,
// grows or moves.

/// The operations that one descriptor can have in flight; at most one of each.
enum OperationKind: UInt8 {
  /// A receive or an accept.
  case input
  /// A send or a connect.
  case output
  case pollReadable
  case pollWritable
  case pollHangUp

  static var count: Int { 5 }
}

/// What the `input` and `output` operations of a descriptor are.
enum InputKind: UInt8 {
  case receive, accept, acceptMultishot
}

enum OutputKind: UInt8 {
  case send, connect
}

/// One descriptor's state. All zero bits is the state of a descriptor that was never seen.
struct DescriptorState {
  /// Where the send goes on; owned by the submitter.
  var sendBytes: UnsafeRawPointer?
  var sendCount: UInt32
  var sendDone: UInt32
  /// Counts the closes of this number, so that an event of an earlier owner is told from one of the present.
  var generation: UInt32
  /// The events this descriptor is registered for; zero is not registered.
  var interest: UInt32
  /// Bit n stands for the operation with raw value n: it waits for readiness.
  var armed: UInt8
  var inputKind: InputKind
  var outputKind: OutputKind
  var marks: Marks

  /// What is remembered of edges. A clear `drained` or `full` means "ready, or nobody knows": then the system call is
  /// tried. A set one means that the descriptor was seen not to be ready, and that an edge will tell of the change.
  struct Marks: OptionSet {
    var rawValue: UInt8

    /// Nothing is there to receive or accept.
    static let drained = Marks(rawValue: 1 << 0)
    /// Nothing more can be sent.
    static let full = Marks(rawValue: 1 << 1)
    /// An error or a hang-up was reported.
    static let hangUp = Marks(rawValue: 1 << 2)
    /// A short receive does not mean that the socket is drained: an end of stream or an error follows the bytes and
    /// its edge has passed, or urgent data (RFC 9293 section 3.8.5), at which a receive stops early, was seen.
    static let shortIsNotDrained = Marks(rawValue: 1 << 3)
    /// The peer has finished: a short receive most likely takes the last bytes.
    static let ending = Marks(rawValue: 1 << 4)
  }

  func isArmed(_ kind: OperationKind) -> Bool { armed & (1 << kind.rawValue) != 0 }
}

/// The state of all descriptors, by number.
struct DescriptorTable: ~Copyable {
  private let states: Reservation<DescriptorState>
  /// The tokens of the operations that wait, `OperationKind.count` for each descriptor.
  private let tokens: Reservation<Token>

  /// - Parameter capacity: descriptors from this number on are refused.
  init(capacity: Int) throws(RingError) {
    let states = try Reservation<DescriptorState>(count: capacity)
    let tokens = try Reservation<Token>(count: capacity * OperationKind.count)
    self.states = states
    self.tokens = tokens
  }

  /// The state of a descriptor, or nil for a number that is not in the table.
  func state(_ descriptor: Int32) -> UnsafeMutablePointer<DescriptorState>? { states.pointer(to: descriptor) }

  // MARK: Waiting operations

  /// Marks an operation as waiting.
  func arm(_ descriptor: Int32, _ kind: OperationKind, token: Token) {
    tokens.elements[DescriptorTable.index(descriptor, kind)] = token
    states.elements[Int(descriptor)].armed |= 1 << kind.rawValue
  }

  /// Ends the wait of an operation and returns its token.
  func disarm(_ descriptor: Int32, _ kind: OperationKind) -> Token {
    precondition(states.elements[Int(descriptor)].isArmed(kind), "\(kind) of descriptor \(descriptor) does not wait")
    states.elements[Int(descriptor)].armed &= ~(1 << kind.rawValue)
    return token(descriptor, kind)
  }

  /// The waiting operation's token, which stays with it.
  func token(_ descriptor: Int32, _ kind: OperationKind) -> Token {
    tokens.elements[DescriptorTable.index(descriptor, kind)]
  }

  /// Which of the descriptor's waiting operations a token names, if it is any.
  func kind(of token: Token, _ descriptor: Int32) -> OperationKind? {
    var armed = states.elements[Int(descriptor)].armed
    while armed != 0, let kind = OperationKind(rawValue: UInt8(truncatingIfNeeded: armed.trailingZeroBitCount)) {
      if self.token(descriptor, kind) == token { return kind }
      armed &= armed &- 1
    }
    return nil
  }

  private static func index(_ descriptor: Int32, _ kind: OperationKind) -> Int {
    Int(descriptor) * OperationKind.count + Int(kind.rawValue)
  }
}
