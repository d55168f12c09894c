"""`python -m webree`: the same as the command `webree`."""

from __future__ import annotations

import sys

from webree.tools.main import main

sys.exit(main())
