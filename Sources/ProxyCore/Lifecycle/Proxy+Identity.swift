// Who the proxy is: loaded at the start, and again when the files change, without touching a connection. The control
// thread does it; workers get the result and use it for handshakes that begin from then on.

import Glibc

extension Proxy {
  /// Reads an identity's files and checks that they fit each other, here and now. For the start, for reloads and for
  /// `validate`.
  ///
  /// - Parameter previous: the identity to replace, whose tickets go on if the trust bundle is the same.
  /// - Returns: the identity, and what an operator should know although it is no error.
  /// - Throws: one line per file that can't be read, or what is wrong with the contents.
  public static func loadIdentity(
    _ identity: Configuration.Identity, replacing previous: TLSContext? = nil
  ) throws(LoadFailure) -> (context: TLSContext, warnings: [String]) {
    let unreadable = identity.files.compactMap { path -> TLSMaterialError? in
      do throws(TLSMaterialError) {
        close(try PEMBytes.open(path).descriptor)
        return nil
      } catch {
        return error
      }
    }
    guard unreadable.isEmpty else { throw LoadFailure(lines: unreadable.map { "identity: \($0)" }) }
    var warnings: [String] = []
    do throws(TLSMaterialError) {
      let context = try TLSContext.load(identity, now: Clocks.wallSeconds, replacing: previous, warnings: &warnings)
      return (context, warnings.map { "identity: \($0)" })
    } catch {
      var failure = LoadFailure(lines: ["identity: \(error)"])
      if case .notYetValid(let time) = error.reason { failure.validFrom = time }
      throw failure
    }
  }

  /// An identity in use, and the watch over its files; no watch when it isn't in files or the host allows none.
  struct FollowedIdentity {
    var context: TLSContext?
    var watch: FileWatch?
  }

  /// Loads an identity and begins to follow its files.
  static func followIdentity(
    _ identity: Configuration.Identity, replacing previous: TLSContext? = nil, _ log: Log
  ) throws(LoadFailure) -> FollowedIdentity {
    // Before the files are read: a change in between would go unnoticed.
    let watch = Result { () throws(StartError) in try FileWatch(paths: identity.files) }
    do throws(LoadFailure) {
      let (context, warnings) = try loadIdentity(identity, replacing: previous)
      for warning in warnings { log.warning(warning) }
      if case .failure(let error) = watch { log.warning("\(error)") }
      return FollowedIdentity(context: context, watch: try? watch.get())
    } catch {
      if case .success(let watch) = watch { watch.close() }
      throw error
    }
  }

  /// The identity of the start: from the options, from files, or none.
  static func firstIdentity(
    _ configuration: Configuration, _ options: Options, _ log: Log
  ) throws(StartError) -> FollowedIdentity {
    if let identity = options.identity { return FollowedIdentity(context: identity) }
    guard let identity = configuration.identity else { return FollowedIdentity() }
    do throws(LoadFailure) {
      let followed = try followIdentity(identity, log)
      if let context = followed.context { log.info("identity \(context.summary)") }
      return followed
    } catch {
      throw StartError(lines: error.lines)
    }
  }

  /// Loads the identity's files again; bad ones are logged and counted, and the identity in use stays.
  ///
  /// - Parameter isLastLook: whether files that can't be loaded are refused at once, or may be half-written still.
  func reloadIdentity(_ watches: inout Watches, now: UInt64, isLastLook: Bool) {
    let (identity, previous) = state.withLock { ($0.configuration.identity, $0.identity.context) }
    guard let identity else { return }
    do throws(LoadFailure) {
      let (context, warnings) = try Proxy.loadIdentity(identity, replacing: previous)
      for warning in warnings { log.warning(warning) }
      adopt(context, &watches)
    } catch {
      let reason = error.lines.joined(separator: "; ")
      guard watches.patience.failed(now: now, isLastLook: isLastLook) else {
        log.debug("\(reason); it may be half-written, so there will be another look")
        return
      }
      if let validFrom = error.validFrom {
        // Not by `now`, which is from before the files were read: the look would come too early by as much.
        let present = Clocks.monotonicNanoseconds
        watches.patience.lookAgain(at: Clocks.monotonicNanoseconds(at: validFrom, now: present))
      }
      log.error("\(reason); refused, the identity in use stays\(error.validFrom == nil ? "" : " until then")")
      state.withLock { state in
        state.identity.reloads.failed += 1
        state.identity.reloads.lastSucceeded = false
        state.identity.lastReload = IdentityReload(at: Clocks.wallNanoseconds, failure: reason)
      }
    }
  }

  /// Hands a new identity to the workers, and counts that.
  func adopt(_ context: TLSContext, _ watches: inout Watches) {
    post(.updateIdentity(context))
    watches.patience.settle()
    watches.expiry = CertificateExpiry(context.chain)
    state.withLock { state in
      state.identity.context = context
      state.identity.reloads.succeeded += 1
      state.identity.reloads.lastSucceeded = true
      state.identity.reloads.lastSuccessAt = Clocks.wallNanoseconds
      state.identity.lastReload = IdentityReload(at: Clocks.wallNanoseconds, failure: nil)
    }
    log.info("identity reloaded: \(context.summary)")
  }

  /// Forgets the identity, because a new configuration has none and uses no TLS. Live connections keep theirs.
  func dropIdentity(_ watches: inout Watches) {
    watches.patience.settle()
    watches.expiry = nil
    state.withLock { $0.identity.context = nil }
    log.info("identity dropped: the configuration has none")
  }

  /// Says once that our own certificate is about to expire, and once that it has.
  func noteExpiry(_ watches: inout Watches) {
    guard let event = watches.expiry?.advance(now: Clocks.wallSeconds), let identity else { return }
    let date = TLSMaterialError.date(watches.expiry?.notAfter ?? 0)
    switch event {
    case .nearing:
      log.warning(
        "identity \(identity.id) expires on \(date), with less than a quarter of its lifetime left; "
          + "see why it was not renewed")
    case .expired:
      log.error(
        "identity \(identity.id) expired on \(date); peers refuse it, and the proxy is unready until it is renewed")
    }
  }
}

extension Configuration.Identity {
  /// The paths of all files, in the order of the configuration.
  var files: [String] { [certificate, privateKey, trustBundle] }
}

extension TLSContext {
  /// Who this is and for how long, for the log.
  fileprivate var summary: String { "\(id), valid until \(TLSMaterialError.date(validUntil))" }

  /// When the first certificate of our own chain expires, in Unix seconds.
  public var validUntil: Int64 { chain.map(\.notAfter).min() ?? .min }
}
