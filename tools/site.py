"""Build dbt's documentation site, with lineage, as one page that opens without a network (`make docs`)."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.project import run_dbt


def main() -> None:
    project, page = map(Path, sys.argv[1:])
    with TemporaryDirectory() as target:
        # No catalogue: the site describes the project, not the content of a warehouse.
        run_dbt(project, Path(target), "docs", "generate", "--static", "--empty-catalog")
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(target) / "static_index.html", page)


if __name__ == "__main__":
    main()
