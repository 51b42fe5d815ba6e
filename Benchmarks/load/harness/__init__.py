"""The end-to-end benchmark: the sidecar and what a user would pick instead, on the same work, in the same run.

`run` goes through a run. The modules in its order: `machine` says what this machine is; `places` where processes live (on
the host, or in a root file system of a newer Debian); `settings` how each proxy is set up; `candidates` which processes
stand between load and origin; `works` what they are asked to do; `rounds` who is measured when; `memory`, `growth` and
`checks` measure what is not a rate, `counts` looks up what CI counts; `results` keeps it all; `summary`, `latency`, `sizes`
and `flatness` turn samples into figures, `bootstrap` says how far these can be trusted, and `targets` holds them against the
design; `report`, `charts` and `page` show them, `again` beside those of another run.
"""


class BenchmarkFailure(Exception):
    """A row can't be measured: a program that doesn't start, or bytes that were lost. Ends the run with exit status 1,
    since a table with a hole in it would be read as one without."""
