"""Private copies of real servers, each on a free port with a folder of its own, to stop, freeze and empty at will."""
