"""The score role: from an upload event to a verdict."""
