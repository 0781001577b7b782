"""Commands, their ids, keys and topics. Knows nothing of Kafka."""
