"""The demo: a shop that sells, its history, embedded servers and the command that runs them all."""
