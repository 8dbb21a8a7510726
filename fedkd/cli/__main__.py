"""`python -m fedkd.cli` is `fedkd`."""

import sys

from fedkd.cli.main import main

sys.exit(main())
