"""Settings of the example with a channel layer, which other processes reach too."""

from __future__ import annotations

import json
import os

from example.settings import *  # noqa: F403

CHANNEL_LAYERS = json.loads(os.environ["SERVED_LAYERS"])
