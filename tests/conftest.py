"""Settings for the whole suite: how much Hypothesis tries, and that it tries the same every time.

`HYPOTHESIS_PROFILE` chooses: "default" in `make test` (the same examples on every run, so that the
suite passes or fails for a reason that is in the tree), "nightly" in `make nightly` (fresh examples,
many more of them; a failure prints the line that reproduces it).
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    # A loaded machine is not a fault of the test.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    settings.get_profile("default"),
    max_examples=20_000,
    derandomize=False,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
