"""Work that leaves the cell: steps in child processes, with progress, a log, a memory cap and an end on demand."""
