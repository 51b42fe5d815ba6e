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
    // Without its default traits: jemalloc would take the place of the allocator that is counted.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
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
      linkerSettings: [.linkedLibrary("crypto"), .linkedLibrary("ssl"), .linkedLibrary("uring")]),
    // Piece by piece, with thresholds on what doesn't depend on the machine. What is measured is a target of its own behind
    // a C interface, which says why.
    .systemLibrary(name: "CMicroSubjects", path: "micro/interface"),
    .target(
      name: "MicroSubjects",
      dependencies: [
        "CMicroSubjects",
        .product(name: "CAllocationCounter", package: "sidecar-proxy"),
        .product(name: "IOUring", package: "sidecar-proxy"),
        .product(name: "Metrics", package: "sidecar-proxy"),
        .product(name: "ProxyCore", package: "sidecar-proxy"),
      ],
      path: "micro/subjects"),
    // The same without a library around it, for callgrind.
    .executableTarget(
      name: "micro-counted", dependencies: ["CMicroSubjects", "MicroSubjects"], path: "micro/counted",
      cSettings: [.headerSearchPath("../interface")]),
    .executableTarget(
      name: "Micro",
      dependencies: ["CMicroSubjects", "MicroSubjects", .product(name: "Benchmark", package: "benchmark")],
      path: "micro", exclude: ["bench", "counted", "instructions", "interface", "subjects"],
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
