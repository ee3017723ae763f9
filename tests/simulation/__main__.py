"""`make simulate`: run schedules for some minutes, and print the first that fails, shortened."""

import argparse
import gc
import sys
import time

from tests.simulation.patches import simulated_modules
from tests.simulation.schedule import STEPS, schedule, shortened, shown, violation


def main() -> int:
    """Run schedules; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--only", action="store_true", help="run this one seed")
    options = parser.parse_args()
    seed, begun, ends_at = options.seed, time.process_time(), time.monotonic() + 60 * options.minutes
    # Each schedule leaves circles; collecting them rarely takes a tenth off its time.
    gc.disable()
    with simulated_modules():
        while seed == options.seed or (time.monotonic() < ends_at and not options.only):
            if found := violation(schedule(seed)):
                short = shortened(schedule(seed))
                print(f"Seed {seed}: {found}\n\nShortened: {violation(short)}\n{shown(short)}")
                return 1
            seed += 1
            if seed % 200 == 0:
                gc.collect()
    count, used = seed - options.seed, time.process_time() - begun
    print(f"{count:,} schedules of {STEPS} steps, no violation; {count / used:,.0f} a second of one core's time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
