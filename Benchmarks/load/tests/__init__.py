"""Tests of the harness itself: its arithmetic on figures whose answer is known, what it does about programs that fail,
and that its generator leaves nothing out. `make bench-smoke` runs them."""
