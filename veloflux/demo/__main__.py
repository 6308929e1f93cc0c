"""`python -m veloflux.demo`."""

import sys

from veloflux.demo.launch import main

sys.exit(main())
