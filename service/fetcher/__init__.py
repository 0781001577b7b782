"""The fetcher's process: commands from Kafka in fair turns, offsets committed in order, results published.

Reading order: process (the loop), consumer (reading ahead), scheduler (turns, offsets), publisher, liveness.
"""
