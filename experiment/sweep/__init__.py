"""Every point of a config's sweep() run in a workdir of its own, by the system's own binary."""
