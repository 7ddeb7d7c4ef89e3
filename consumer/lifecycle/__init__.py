"""What starts, watches and ends a worker: the gate, stop requests, spot notices, heartbeat, watchdog, systemd."""
