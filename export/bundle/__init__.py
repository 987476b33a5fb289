"""Put trained heads together: parts, assembly, manifest, variants."""
