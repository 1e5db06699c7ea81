"""`python -m amqpd` is the same as the command `amqpd`."""

from __future__ import annotations

from amqpd.cli import main

if __name__ == "__main__":
    main()
