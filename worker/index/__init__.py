"""The index role: from an embedding to a search result."""
