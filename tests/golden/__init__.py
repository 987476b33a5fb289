"""What the committed starter bundle says of the demo's images, kept so that a change of it is seen."""
