"""`python -m bench`, which is what `make bench` runs; options as `make bench ARGS="--only get,list"`."""

import sys

from bench.run import main

sys.exit(main(sys.argv[1:]))
