"""Test whether any way of writing loses a row, with real writers, the real processor and a full count.

Each cell of the matrix is a way of writing. The oracle is the set of acknowledged commits: at the end of a cell, the
stage contains the last acknowledged version of every row and nothing else, or the stream was refused with an error.

    make matrix                                     every cell, 30 seconds each
    make matrix MATRIX_ARGS="--seconds 5 protocol"  one dimension, shorter
"""
