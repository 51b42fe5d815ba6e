"""What a sidecar says about itself at /metrics."""

import re
import urllib.request

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.samples = [
            (name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _SAMPLE.findall(text)
        ]

    def sum(self, name, **labels):
        """The sum over all series of a metric that have these labels."""
        return sum(
            value for sample, has, value in self.samples if sample == name and labels.items() <= has.items()
        )

    def label(self, name, label):
        """A label of the only series of an info metric that is 1."""
        (value,) = [has[label] for sample, has, value in self.samples if sample == name and value == 1]
        return value


def fetch(url, timeout=5):
    """The body of an answer with status 200; None if there was another one, or none."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.read().decode()
    except OSError:
        return None
