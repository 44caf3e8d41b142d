"""The only place that knows everyone: settings, wiring, the ASGI application, the command line."""
