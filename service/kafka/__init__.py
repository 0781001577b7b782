"""Kafka from outside: how to reach a cluster, its topics, and a broker of our own for a laptop."""
