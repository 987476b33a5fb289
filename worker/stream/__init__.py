"""Kafka for every role: clients, delivery, dead letters, topics, and what guards the loops."""
