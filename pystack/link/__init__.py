"""What frames travel on, without any handle of the operating system."""
