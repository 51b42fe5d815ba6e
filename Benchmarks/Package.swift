// swift-tools-version: 6.1
// Everything that measures the proxy. A package of its own, so that what only measurements need is never built into,
// or resolved for, the product.
import PackageDescription

let package = Package(
  name: "benchmarks",
  dependencies: [
    .package(name: "sidecar-proxy", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    // End to end: the load generator with its origin.
    .executableTarget(
      name: "sidecar-load",
      dependencies: [
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
        .product(name: "IOUring", package: "sidecar-proxy"),
      ],
      path: "load/generator"),
    // The bare loops in C that show how cheap a relay can be.
    .executableTarget(
      name: "relay-floor", path: "load/floor", cSettings: [.define("_GNU_SOURCE")],
      linkerSettings: [.linkedLibrary("uring")]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
