"""`python -m unlearnlib.engine` is what ./run_all.sh starts once everything is set up."""

import sys

from unlearnlib.engine.run import main

sys.exit(main(sys.argv[1:]))
