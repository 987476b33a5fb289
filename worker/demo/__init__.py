"""`mekiki demo`: the real program on an embedded broker, watched, with a report at the end."""
