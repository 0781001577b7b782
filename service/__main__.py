"""Entry point of `python -m service`, which is the command `sluice`."""

from service.cli import main

main()
