// Operations of the worker: from their submission to their one final completion. An operation is tried when it is
// submitted and whenever its descriptor has changed, until it completes or is cancelled.

import Glibc
import IOUring

/// An operation that the worker has submitted and the world has not begun.
struct Submission {
  var operation: SimulatedOperation
  var descriptor: Int32
}

/// An operation in flight.
struct SimulatedOperation {
  enum Kind {
    case accept(multishot: Bool)
    case connect(address: String)
    case receive
    case receiveInto(UnsafeMutableRawBufferPointer)
    case send(UnsafeRawBufferPointer, SendMode)
    case poll(Readiness)
    /// Ends the operation that the token names.
    case cancel(Token, on: Descriptor)

    var name: StaticString {
      switch self {
      case .accept: "accept"
      case .connect: "connect"
      case .receive: "receive"
      case .receiveInto: "receive into"
      case .send(_, .immediate): "send"
      case .send(_, .immediateBeforeMore): "send before more"
      case .send(_, .complete): "send all"
      case .poll(.readable): "poll readable"
      case .poll(.writable): "poll writable"
      case .poll(.hangUp): "poll hang-up"
      case .cancel: "cancel"
      }
    }

    /// Bytes that are asked for, or the token that is cancelled.
    var size: Int {
      switch self {
      case .receiveInto(let memory): memory.count
      case .send(let bytes, _): bytes.count
      case .cancel(let target, _): Int(truncatingIfNeeded: target.rawValue)
      case .accept, .connect, .receive, .poll: 0
      }
    }
  }

  var token: Token
  var kind: Kind
  /// Bytes that a send has got rid of.
  var progress = 0
  var isCancelled = false
  /// The first attempt is still to come.
  var isNew = true
  var expectsData = true
}

struct PendingCompletion {
  var completion: Completion
  /// Completions of one descriptor keep their order.
  var descriptor: Int32
  var accepted: SimulatedStream?
}

extension SimulatedWorld {
  // MARK: Submitting

  func submit(_ descriptor: Descriptor, _ token: Token, _ kind: SimulatedOperation.Kind, expectsData: Bool = true) {
    // The host's numbers are not the same on each run.
    let number = descriptor.rawValue >= Self.descriptorBase ? Int(descriptor.rawValue) : -1
    trace(kind.name, number, Int(truncatingIfNeeded: token.rawValue), kind.size)
    var operation = SimulatedOperation(token: token, kind: kind)
    operation.expectsData = expectsData
    let submission = Submission(operation: operation, descriptor: descriptor.rawValue)
    noteConnection(descriptor, token)
    // A queue keeps the order: what is submitted early takes what waits along.
    submitted.append(submission)
    if random.chance(faults.submittedEarly) { carryOutSubmissions() }
  }

  private func noteConnection(_ descriptor: Descriptor, _ token: Token) {
    switch object(descriptor)?.kind {
    case .stream(let stream): note(stream.peer)
    case .socket: note(acceptedLast)
    case .listener, .pipe, nil: break
    }
    func note(_ client: SimulatedStream?) {
      if clientOfConnection[token.connection] == nil { clientOfConnection[token.connection] = client }
    }
  }

  func carryOutSubmissions() {
    while !submitted.isEmpty {
      let batch = submitted
      submitted.removeAll(keepingCapacity: true)
      for submission in batch { carryOut(submission) }
    }
  }

  private func carryOut(_ submission: Submission) {
    let operation = submission.operation
    if case .cancel(let target, let descriptor) = operation.kind {
      cancel(target, on: descriptor)
      return
    }
    if case .poll = operation.kind, submission.descriptor < Self.descriptorBase {
      hostEventPolls.append((operation.token, Descriptor(rawValue: submission.descriptor)))
      return
    }
    guard let object = object(submission.descriptor) else {
      violation("an operation on \(submission.descriptor), which is not open")
      complete(operation.token, submission.descriptor, -EBADF)
      return
    }
    if descriptorOfToken.updateValue(submission.descriptor, forKey: operation.token.rawValue) != nil {
      violation("token \(operation.token.rawValue) is used twice at a time")
    }
    if object.operations.contains(where: { $0.kind.isSameUse(as: operation.kind) }) {
      violation("two operations of one kind, \(operation.kind.name), on \(submission.descriptor)")
    }
    if case .stream(let stream) = object.kind, stream.isDeaf {
      violation("\(operation.kind.name) on \(submission.descriptor), which is deaf")
    }
    object.operations.append(operation)
    attempt(object, submission.descriptor, at: object.operations.count - 1)
  }

  private func cancel(_ target: Token, on descriptor: Descriptor) {
    guard let number = descriptorOfToken[target.rawValue] else { return }
    if number != descriptor.rawValue { violation("an operation on \(number) is cancelled on \(descriptor.rawValue)") }
    guard let object = object(number),
      let index = object.operations.firstIndex(where: { $0.token == target })
    else { return }
    object.operations[index].isCancelled = true
    if random.chance(faults.cancelLoses) { attempt(object, number, at: index) }
    mark(number)
  }

  // MARK: Going on

  /// Something about a stream has changed: its owner may want to know.
  func changed(_ stream: SimulatedStream) {
    if let descriptor = stream.descriptor { changed(descriptor) }
    if let actor = stream.actor { wake(actor) }
  }

  func changed(_ descriptor: Int32) { mark(descriptor) }

  private func mark(_ number: Int32) {
    guard let object = object(number), !object.isMarked else { return }
    object.isMarked = true
    changedDescriptors.append(number)
  }

  /// Tries the operations of every descriptor that has changed.
  func carryOnOperations() {
    var postponed: [Int32] = []
    while let number = changedDescriptors.popLast() {
      guard let object = object(number) else { continue }
      object.isMarked = false
      if !object.operations.isEmpty, random.chance(faults.operationSlow) {
        postponed.append(number)
        continue
      }
      var index = 0
      while index < object.operations.count {
        if !attempt(object, number, at: index) { index += 1 }
      }
    }
    for number in postponed { mark(number) }
  }

  /// Tries one operation.
  /// - Returns: whether it completed and was taken out.
  @discardableResult
  private func attempt(_ object: SimulatedObject, _ number: Int32, at index: Int) -> Bool {
    let operation = object.operations[index]
    object.operations[index].isNew = false
    var outcome: Outcome
    switch operation.kind {
    case .accept(let multishot): outcome = tryAccept(object, operation, number, multishot: multishot)
    case .connect(let address): outcome = tryConnect(object, operation, number, address)
    case .receive: outcome = tryReceive(object, operation)
    case .receiveInto(let memory): outcome = tryReceive(object, into: memory)
    case .send(let bytes, let mode): outcome = trySend(object, number, at: index, bytes, mode)
    case .poll(let readiness): outcome = tryPoll(object, readiness)
    case .cancel: outcome = .finished(0)
    }
    if case .waiting = outcome, object.operations[index].isCancelled {
      if random.chance(faults.cancelSlow) {
        mark(number)
        return false
      }
      let progress = object.operations[index].progress
      outcome = .finished(progress > 0 ? Int32(progress) : -ECANCELED)
    }
    if case .waiting = outcome { return false }
    object.operations.remove(at: index)
    descriptorOfToken[operation.token.rawValue] = nil
    if case .finished(let result, let flags) = outcome { complete(operation.token, number, result, flags) }
    return true
  }

  enum Outcome {
    case waiting
    /// Finished, and its completion is on its way already.
    case gone
    case finished(Int32, Completion.Flags = [])
  }

  func complete(
    _ token: Token, _ descriptor: Int32, _ result: Int32, _ flags: Completion.Flags = [],
    accepted: SimulatedStream? = nil
  ) {
    if sabotage == .completionLost, result == -ECANCELED { return }
    arisen.append(
      PendingCompletion(
        completion: Completion(token: token, result: result, flags: flags), descriptor: descriptor,
        accepted: accepted))
  }
}

extension SimulatedOperation.Kind {
  /// Whether a descriptor can have only one of the two in flight: two sends or two receives would reorder bytes.
  fileprivate func isSameUse(as other: Self) -> Bool {
    switch (self, other) {
    case (.send, .send), (.receive, .receive), (.receive, .receiveInto), (.receiveInto, .receive),
      (.receiveInto, .receiveInto), (.accept, .accept), (.connect, .connect), (.poll(.readable), .poll(.readable)),
      (.poll(.writable), .poll(.writable)), (.poll(.hangUp), .poll(.hangUp)):
      true
    default: false
    }
  }
}

extension Token {
  /// What the operations of one connection have in common: the lowest eight bits tell them apart.
  var connection: UInt64 { rawValue >> 8 }
}
