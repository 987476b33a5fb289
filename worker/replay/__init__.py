"""Replay: send rejected events back, but what something newer has overtaken."""
