"""The commands, a file each: the function named like its file is the command."""
