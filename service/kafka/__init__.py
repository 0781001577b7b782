"""Kafka clients: connections, topics, the producer of requests and the reader of dead letters."""
