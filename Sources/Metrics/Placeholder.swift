public enum MetricsPlaceholder {}
