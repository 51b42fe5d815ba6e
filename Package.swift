// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "sidecar-proxy",
  products: [
    .executable(name: "sidecar-proxy", targets: ["sidecar-proxy"]),
    .library(name: "IOUring", targets: ["IOUring"]),
    .library(name: "Metrics", targets: ["Metrics"]),
    .library(name: "ProxyCore", targets: ["ProxyCore"]),
    // For the nested package of benchmarks.
    .library(name: "CAllocationCounter", targets: ["CAllocationCounter"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
  ],
  targets: [
    // System libraries, each behind a small C shim for what Swift can't import.
    .systemLibrary(name: "CIOUring", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CLinux"),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    .target(name: "IOUring", dependencies: ["CIOUring"]),
    .target(name: "Metrics"),
    .target(name: "ProxyCore", dependencies: ["CLinux", "COpenSSL", "CYAML", "IOUring", "Metrics"]),
    .executableTarget(
      name: "sidecar-proxy",
      dependencies: [
        "CLinux", "CZlib", "Metrics", "ProxyCore",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ]),

    // What the tests of several levels share.
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .target(name: "CSeededRandom", dependencies: ["COpenSSL"], path: "Tests/CSeededRandom"),
    .target(name: "KernelTestSupport", dependencies: ["IOUring"], path: "Tests/KernelTestSupport"),

    .testTarget(name: "IOUringTests", dependencies: ["CIOUring", "IOUring", "TestSupport"]),
    .testTarget(
      name: "KernelConformanceTests", dependencies: ["CAllocationCounter", "IOUring", "KernelTestSupport"]),
    .testTarget(name: "EngineTests", dependencies: ["ProxyCore"]),
    .testTarget(
      name: "SimulationTests",
      dependencies: [
        "COpenSSL", "CSeededRandom", "FuzzSupport", "IOUring", "KernelTestSupport", "Metrics", "ProxyCore",
      ]),
    .testTarget(
      name: "WorkerTests",
      dependencies: ["CAllocationCounter", "IOUring", "KernelTestSupport", "Metrics", "ProxyCore"]),
    // What black-box tests share: processes, sockets, real programs.
    .systemLibrary(name: "CTestSupport", path: "Tests/CTestSupport"),
    .target(name: "TestSupport", dependencies: ["COpenSSL", "CTestSupport"], path: "Tests/TestSupport"),

    // Fuzz targets stand in the bundles of what they fuzz; this leads them to their corpora and to libFuzzer.
    .systemLibrary(name: "CLibFuzzer", path: "Tests/CLibFuzzer"),
    .target(name: "FuzzSupport", dependencies: ["CLibFuzzer"], path: "Tests/FuzzSupport"),

    .testTarget(name: "MetricsTests", dependencies: ["Metrics"]),
    .testTarget(name: "ConfigurationTests", dependencies: ["FuzzSupport", "ProxyCore"]),
    .testTarget(name: "TLSTests", dependencies: ["COpenSSL", "FuzzSupport", "ProxyCore"]),
    .testTarget(
      name: "LifecycleTests",
      dependencies: [
        "CZlib", "FuzzSupport", "Metrics", "ProxyCore", "sidecar-proxy",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ]),
    .testTarget(name: "RedirectionTests", dependencies: ["sidecar-proxy"]),
    .testTarget(name: "LoopbackTests", dependencies: ["CTestSupport", "TestSupport"]),
    .testTarget(name: "MeshTests", dependencies: ["COpenSSL", "ProxyCore", "TestSupport"]),
    .testTarget(name: "PodTests", dependencies: ["TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)
