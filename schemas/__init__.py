"""What goes over the wire and into a model bundle."""
