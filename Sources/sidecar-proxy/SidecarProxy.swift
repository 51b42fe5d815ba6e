import ArgumentParser

@main
struct SidecarProxy: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "sidecar-proxy")
}
