public enum IOUringPlaceholder {}
