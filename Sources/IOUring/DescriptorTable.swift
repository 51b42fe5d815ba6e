// What the epoll kernel knows about each descriptor, and how it finds an operation again by its token. Used by `Epoll`
// alone. Both tables live in reserved address space that becomes resident as descriptors are used, so that nothing
// here allocates, grows or moves.

/// The operations that one descriptor can have in flight; at most one of each.
enum OperationKind: UInt8 {
  /// A receive or an accept.
  case input
  /// A send or a connect.
  case output
  case pollReadable
  case pollWritable
  case pollHangUp

  static let count = 5
}

/// What the `input` and `output` operations of a descriptor are.
enum InputKind: UInt8 {
  case receiveProvided, receiveInto, accept, acceptMultishot
}

enum OutputKind: UInt8 {
  case send, connect
}

/// One descriptor's state. All zero bits is the state of a descriptor that was never seen.
struct DescriptorState {
  /// Where the send goes on and the receive puts its bytes; owned by the submitter.
  var sendBytes: UnsafeRawPointer?
  var receiveBytes: UnsafeMutableRawPointer?
  var sendCount: UInt32
  var sendDone: UInt32
  var receiveCount: UInt32
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
  }

  func isArmed(_ kind: OperationKind) -> Bool { armed & (1 << kind.rawValue) != 0 }
}

/// The state of all descriptors, by number.
struct DescriptorTable: ~Copyable {
  /// Descriptors from this number on are refused.
  let capacity: Int
  private let states: Reservation<DescriptorState>
  /// The operations that wait, in hash chains by token. `OperationKind.count` links for each descriptor.
  private let links: Reservation<Link>
  /// Heads of the chains: one plus the index of a link; 0 ends a chain.
  private let buckets: Reservation<UInt32>

  struct Link {
    var token: UInt64
    var next: UInt32
  }

  /// 32,768 chains: 128 KiB once all are touched, and chains of one or two links at 10,000 connections.
  private static let bucketBits: UInt64 = 15
  private static var bucketCount: Int { 1 << Int(bucketBits) }

  init(capacity: Int) throws(RingError) {
    let states = try Reservation<DescriptorState>(count: capacity)
    let links = try Reservation<Link>(count: capacity * OperationKind.count)
    let buckets = try Reservation<UInt32>(count: DescriptorTable.bucketCount)
    self.capacity = capacity
    self.states = states
    self.links = links
    self.buckets = buckets
  }

  /// The state of a descriptor, or nil for a number that is not in the table.
  func state(_ descriptor: Int32) -> UnsafeMutablePointer<DescriptorState>? {
    descriptor >= 0 && Int(descriptor) < capacity ? states.elements + Int(descriptor) : nil
  }

  // MARK: Waiting operations by token

  /// Marks an operation as waiting.
  func arm(_ descriptor: Int32, _ kind: OperationKind, token: Token) {
    let index = Int(descriptor) * OperationKind.count + Int(kind.rawValue)
    let head = buckets.elements + DescriptorTable.bucket(token)
    links.elements[index] = Link(token: token.rawValue, next: head.pointee)
    head.pointee = UInt32(truncatingIfNeeded: index + 1)
    states.elements[Int(descriptor)].armed |= 1 << kind.rawValue
  }

  /// Ends the wait of an operation and returns its token.
  func disarm(_ descriptor: Int32, _ kind: OperationKind) -> Token {
    let index = Int(descriptor) * OperationKind.count + Int(kind.rawValue)
    let token = Token(rawValue: links.elements[index].token)
    let name = UInt32(truncatingIfNeeded: index + 1)
    var slot = buckets.elements + DescriptorTable.bucket(token)
    while slot.pointee != name {
      precondition(slot.pointee != 0, "operation \(kind) of descriptor \(descriptor) is not in its chain")
      slot = next(after: slot.pointee)
    }
    slot.pointee = links.elements[index].next
    states.elements[Int(descriptor)].armed &= ~(1 << kind.rawValue)
    return token
  }

  /// The waiting operation's token, which stays with it.
  func token(_ descriptor: Int32, _ kind: OperationKind) -> Token {
    Token(rawValue: links.elements[Int(descriptor) * OperationKind.count + Int(kind.rawValue)].token)
  }

  /// The waiting operation that a token names.
  func find(_ token: Token) -> (descriptor: Int32, kind: OperationKind)? {
    var name = buckets.elements[DescriptorTable.bucket(token)]
    while name != 0 {
      let index = Int(name) - 1
      if links.elements[index].token == token.rawValue {
        let (descriptor, kind) = index.quotientAndRemainder(dividingBy: OperationKind.count)
        return (Int32(truncatingIfNeeded: descriptor), OperationKind(rawValue: UInt8(truncatingIfNeeded: kind))!)
      }
      name = links.elements[index].next
    }
    return nil
  }

  private func next(after name: UInt32) -> UnsafeMutablePointer<UInt32> {
    UnsafeMutableRawPointer(links.elements + (Int(name) - 1)).advanced(by: MemoryLayout<Link>.offset(of: \.next)!)
      .assumingMemoryBound(to: UInt32.self)
  }

  /// Fibonacci hashing: the top bits of the product depend on all bits of the token.
  private static func bucket(_ token: Token) -> Int {
    Int(truncatingIfNeeded: (token.rawValue &* 0x9E37_79B9_7F4A_7C15) >> (64 - bucketBits))
  }
}
