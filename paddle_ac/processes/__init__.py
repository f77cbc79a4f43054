"""Worker processes: a supervised pool, and the memory and locks that its workers share."""
