"""asyncio programs: an event loop over the sockets of hosts, inside Trio or around it."""
