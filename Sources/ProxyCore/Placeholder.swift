public enum ProxyCorePlaceholder {}
