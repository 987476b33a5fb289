"""Tags: boosted trees over the embedding."""
