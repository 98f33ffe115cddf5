"""What `scripts/bench` runs: pystack beside the kernel and beside bare loops, in one table."""
