"""The machine outside: TAP devices, the kernel's interfaces and routes, root given up."""
