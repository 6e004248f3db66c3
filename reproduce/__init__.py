"""Re-measures what the papers claim: a table of claims and one report."""
