"""The embedded Kafka broker: one process per installation."""
