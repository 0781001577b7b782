"""Behaviour: deciders (own state, do no IO), activities (do IO, own no state), and the core that runs them."""
