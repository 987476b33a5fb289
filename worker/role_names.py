"""The names of the roles: in commands, threads, health reports and metric labels."""

SCORE = "score"
INDEX = "index"
NEXT_INDEX = "index-next"
REEMBED = "reembed"
