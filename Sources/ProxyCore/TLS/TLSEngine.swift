/// What all TLS sessions of one worker share: the BIO, the windows of the session that is being driven, what has been
/// verified, and the tickets for outbound connections. A worker makes one when it starts and passes it to each session.

import COpenSSL

/// The owner of a worker's TLS state. Not thread-safe, and it must outlive the sessions that were made with it.
///
/// A worker drives one session at a time, and libssl calls back only while a session is driven, so one set of windows is
/// enough for all of them. They live at an address that doesn't change, which lets sessions move.
struct TLSEngine: ~Copyable {
  let state: UnsafeMutablePointer<State>

  /// `now` is the wall clock in Unix seconds.
  ///
  /// `sessionsMax` is how many sessions may hold a part of a record at the same time.
  init(now: Int64, sessionsMax: Int) {
    state = .allocate(capacity: 1)
    state.initialize(to: State(now: now, sessionsMax: sessionsMax))
    state.pointee.bio = WindowBIO.make(state: state)
  }

  deinit {
    BIO_free(state.pointee.bio)
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// The wall clock in Unix seconds, by which certificates and tickets expire. The worker sets it before each session that it
  /// makes and each step of a handshake, from the clock of its kernel interface.
  var now: Int64 {
    get { state.pointee.now }
    nonmutating set { state.pointee.now = newValue }
  }
}

extension TLSEngine {
  /// The shared state. Sessions and libssl's callbacks reach it through its address.
  struct State: ~Copyable {
    /// Ciphertext that the session being driven may read.
    var input = InputWindow()
    /// Where the session being driven writes its records.
    var output = OutputWindow()
    var now: Int64

    /// Whom the peer of the session being driven has proved to be. The session owns the count and takes it back when its
    /// verb returns.
    var peer: PeerIdentity?
    /// Where the session being driven keeps its secrets.
    var records: UnsafeMutablePointer<RecordLayer>?
    /// The server has sent a ticket to the session being driven, wanted or not.
    var ticketHasCome = false
    /// The peer of the session being driven has changed its keys.
    var keysHaveChanged = false
    /// Why the peer's certificate was refused: libssl knows too few words for it.
    var refusal: TLSFailure?
    /// Where the session being driven keeps tickets; nil when it keeps none.
    var ticketKey: TicketKey?

    var verifiedLeaves = VerifiedLeafCache()
    var tickets = ClientTicketCache()
    var verifier = ChainVerifier()
    var keySchedule = KeySchedule()
    /// For records of which only the beginning has come, one per session at the most.
    var partials: ChunkPool
    fileprivate(set) var bio: OpaquePointer?

    init(now: Int64, sessionsMax: Int) {
      self.now = now
      partials = ChunkPool(chunkSize: PartialRecord.size, capacity: sessionsMax)
    }
  }
}
