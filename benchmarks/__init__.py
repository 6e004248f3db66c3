"""Speed beside public peers, measured in one process tree. Not installed: run from the checkout."""
