"""Images made to cost, and decoders that die: docs/security.md lists them."""
