"""The processes: settings, command line, API clients, sinks, the embedded broker, the simulator."""
