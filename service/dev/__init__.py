"""The local environment: embedded Kafka, supervisor, demo and simulator for a laptop."""
