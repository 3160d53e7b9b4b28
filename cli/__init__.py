"""The command line: `./sixstead VERB ...`."""
