"""Live data over WebSockets, on Autobahn."""
