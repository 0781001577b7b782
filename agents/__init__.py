"""What is done: deciders (own state, do no IO), activities (do IO, own no state), and the shell that joins them."""
