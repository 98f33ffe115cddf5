"""What can befall a frame on its way, in tc-netem(8)'s words."""
