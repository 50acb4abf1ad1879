"""The examiner that holds the truth, the findings of a run, and the verdicts on them."""
