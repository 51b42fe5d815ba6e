"""What the scenarios are written with: pods, the network between them, and eyes on both."""
