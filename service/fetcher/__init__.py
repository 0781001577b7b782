"""The data plane's process: leases and actions from Kafka, in fair turns, acknowledged in order, told in results."""
