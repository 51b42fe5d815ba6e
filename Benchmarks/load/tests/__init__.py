"""Tests of the harness itself: its arithmetic on figures whose answer is known, and what it does about programs that fail.
`make bench-smoke` runs them before it measures anything."""
