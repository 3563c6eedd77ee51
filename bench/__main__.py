"""`python -m bench`, which is what `make bench` runs; options as `make bench ARGS="--only get,list"`.

`python -m bench profile create` is what `make profile ARGS=create` runs.
"""

import sys

from bench import profile, run

if sys.argv[1:2] == ["profile"]:
    sys.exit(profile.main(sys.argv[2:]))
sys.exit(run.main(sys.argv[1:]))
