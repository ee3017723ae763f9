"""Send the problems of the pipeline to ALERT_URLS: each once when it begins, and once when it ends.

`changes` decides what to send, `memory` keeps what was sent, `channels` sends it, and `send` puts them together.
"""
