"""`python -m adventure.demo.history DATA_DIR SEED` synthesises a history and loads it into the embedded warehouse."""

import gc
import sys

from adventure.core.environment import load_settings
from adventure.demo.history import create

if __name__ == "__main__":
    # Millions of objects live to the end of this process: searching them for garbage took a sixth of its time.
    gc.disable()
    create(load_settings(None, data_dir=sys.argv[1], warehouse="duckdb"), seed=int(sys.argv[2]))
