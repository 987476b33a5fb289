"""What a shadow said, as a report."""
