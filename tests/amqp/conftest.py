"""Everything about frames holds for both codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.amqp import codec as native
from amqpd.amqp import codec_pure

if TYPE_CHECKING:
    from amqpd.amqp.wire import Codec

CODECS: list[Codec] = [native, codec_pure]


@pytest.fixture(params=CODECS, ids=["native", "pure"])
def codec(request: pytest.FixtureRequest) -> Codec:
    """The compiled codec, or its source where it is not compiled; and the pure one."""
    chosen: Codec = request.param
    return chosen
