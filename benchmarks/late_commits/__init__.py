"""Test whether late commits lose rows: writers with open transactions, processors in tight cycles, and a full count.

Sixteen writers insert and update orders with their lines in transactions that stay open from a millisecond to seconds,
while processors extract windows as fast as they can. At the end, every row of the source must be in the stage. As a
yardstick, a poller reads `cursor > the largest seen`: the rows it misses show how hard the run was.

    make stress                                     every scenario, 100,000 rows each
    make stress STRESS_ARGS="horizon --rows 5000"   one, smaller

To add a way of writing or reading, add a `Scenario`; to add a database, add a `System`.
"""
