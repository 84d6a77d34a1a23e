"""The default addresses of the processes."""

from server.settings import ServerSettings

STREAM_METRICS = "127.0.0.1:9101"
TUNER_METRICS = "127.0.0.1:9102"
REFRESHER_METRICS = "127.0.0.1:9104"
SERVER_METRICS = ServerSettings.metrics
PROBE_METRICS = "127.0.0.1:9105"
CONSOLE = "127.0.0.1:9106"
SINK_METRICS = "127.0.0.1:9107"
SERVER_TARGET = ServerSettings.listen
