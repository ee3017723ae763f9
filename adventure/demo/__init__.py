"""The demo: generated sales and history, embedded database servers, and the command that runs everything."""
