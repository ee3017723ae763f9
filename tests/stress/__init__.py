"""Does any way to write lose a row? Each cell of the matrix is one: real writers, the real processor, and a full count.

The oracle is the set of acknowledged commits. When a cell ends, every version of which the server acknowledged the
commit last is in the stage and nothing else is, or the stream is refused with a sentence.

    make matrix                                     every cell, 30 seconds each
    make matrix MATRIX_ARGS="--seconds 5 protocol"  one dimension, shorter
"""
