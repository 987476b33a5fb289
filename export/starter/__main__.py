"""Entry point of `python -m export.starter`."""

from export.starter.command import main

raise SystemExit(main())
