"""How work survives: files, folders, locks, processes, downloads, and who hears of progress."""
