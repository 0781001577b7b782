"""What may be said: commands, their ids, keys and topics. Knows nothing of Kafka."""
