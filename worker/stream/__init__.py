"""Kafka for every role: clients, delivery, dead letters, topics, the rejection limit."""
