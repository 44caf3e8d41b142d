"""Finding messages again: by their words, by their meaning, and only in what the asker may see."""
