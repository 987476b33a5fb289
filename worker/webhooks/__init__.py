"""Verdicts that ask for a person, told to platforms that own the queue."""
