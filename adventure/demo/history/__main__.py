"""`python -m adventure.demo.history FOLDER SEED` writes the files of a history and loads nothing."""

import sys
from pathlib import Path

from adventure.demo.history.synthesis import synthesise

if __name__ == "__main__":
    synthesise(Path(sys.argv[1]), seed=int(sys.argv[2]))
