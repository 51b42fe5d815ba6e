// What this binary is. Shown by `sidecar-proxy version`, `GET /version` and `sidecar_build_info`.

public enum BuildInfo {
  /// Semantic version of the product.
  public static let version = "0.1.0"
}
