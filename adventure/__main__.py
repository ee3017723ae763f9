"""`python -m adventure`, for where the script is not on the path."""

from adventure.cli import main

main()
