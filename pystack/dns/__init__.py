"""Names: who asks for them and who answers, without I/O or clock."""
