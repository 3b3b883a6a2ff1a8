"""The commands of the command line, one file each; only the one that is asked for is imported."""
