"""How processes log: as text, or as JSON with an id of the runbook."""
