"""The demonstration: a simulated Planning Center, two organisations, and a check of every row afterwards."""
