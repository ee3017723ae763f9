"""Does a row that commits late get lost? Writers with open transactions, processors in tight cycles, and a full count.

Sixteen writers insert and update orders with their lines in transactions that stay open from a millisecond to seconds,
while processors extract windows as fast as they can. At the end every row of the source is looked for in the stage.
Beside them a poller reads `cursor > the largest seen`, as a yardstick: what it misses shows how hard the run was.

    make stress                                     every scenario, 100,000 rows each
    make stress STRESS_ARGS="horizon --rows 5000"   one, smaller

A scenario is a value: another way to write or to read is another `Scenario`, another database another `System`.
"""
