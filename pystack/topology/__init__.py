"""Many hosts: switches, routers, addresses and routes for all. Synchronous."""
