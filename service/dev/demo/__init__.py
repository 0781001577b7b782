"""The demo: a simulated Planning Center, two organisations, and a comparison of every row."""
