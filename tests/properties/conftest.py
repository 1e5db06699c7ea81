"""How long properties are searched for; `--hypothesis-profile=long` searches for minutes."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a machine that is busy with something else is no error.
settings.register_profile("short", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=5000, deadline=None)
if settings.get_current_profile_name() in ("default", "unhurried"):  # the command line comes first
    settings.load_profile("short")
