"""`mekiki policy diff`: what another policy would have decided, from the scores on the verdicts."""
