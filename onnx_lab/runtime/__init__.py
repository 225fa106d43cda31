"""The only room that opens an engine: targets, sessions in child processes, the doctor."""
