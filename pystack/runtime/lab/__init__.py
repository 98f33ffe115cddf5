"""Labs: networks from files, with real programs, devices and namespaces in them."""
